//! The command line of `tidemill`: one module a command.

pub mod sql;
