//! The HTTP door.

pub mod authenticate;
pub mod limits;
