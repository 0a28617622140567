//! Tidemill's doors: each turns a protocol's bytes into requests for a session, and a result's batches into bytes.

pub mod http;
