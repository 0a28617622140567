//! The composition root of the `tidemill` binary: configuration, command line, demo data, and the making of all parts.

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod machine;
pub mod telemetry;
