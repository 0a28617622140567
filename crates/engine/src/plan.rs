//! From the text of a statement to a plan.

pub(crate) mod suggest;
