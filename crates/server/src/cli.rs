//! The command line of `tidemill`: one module a command.

pub mod config;
pub mod sql;
