//! The composition root of the `tidemill` binary.

pub mod cli;
pub mod demo;
