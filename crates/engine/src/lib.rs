//! The Tidemill engine: sessions, plans and the life of a query, without any protocol.

pub mod auth;
pub mod catalog;
pub mod config;
pub mod error;
mod plan;
pub mod query;
pub mod request;
pub mod session;
pub mod units;

pub use error::{Error, ErrorKind, Position, Result, Subject};
pub use query::{QueryId, QueryInfo, QueryState};
pub use request::{Origin, Parameters, QueryRequest, RequestLimits, Source};
