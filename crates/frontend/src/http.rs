//! The HTTP door.

pub mod encode;
pub mod negotiate;
pub mod problem;
