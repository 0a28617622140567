//! Tidemill.

#[path = "../tidy.rs"]
mod tidy;
