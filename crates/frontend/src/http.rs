//! The HTTP door.

pub mod authenticate;
pub mod encode;
pub mod limits;
pub mod negotiate;
pub mod problem;
