//! The doors of Tidemill: protocols on one side, the engine's sessions and streams on the other.

pub mod config;
pub mod http;
pub mod listen;
