//! Tidemill.

#[cfg(test)]
#[path = "../tidy.rs"]
mod tidy;
