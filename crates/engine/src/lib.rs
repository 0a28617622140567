//! The Tidemill engine: sessions, plans and the life of a query, without any protocol.
//!
//! The modules in the order in which a query meets them: a door builds a [`request`], a [`session`] takes it, [`plan`] makes it
//! something that can run, [`auth`] decides whether it may, [`query`] admits it and keeps its life, [`run`] computes it, and a
//! [`stream`] hands its rows out in the form that [`wire`] fixes.

pub mod auth;
pub mod cache;
pub mod catalog;
pub mod config;
mod data_dir;
mod digits;
mod engine;
pub mod error;
mod plan;
pub mod query;
pub mod request;
pub mod results;
pub mod run;
pub mod session;
mod sql_type;
mod storage;
pub mod stream;
mod text;
pub mod units;
pub mod wire;

pub use data_dir::DataDir;
pub use engine::{Autoscale, Engine, EngineStatus, Seams};
pub use error::{Error, ErrorKind, Position, Result, Subject};
pub use plan::{Effect, StatementKind, keywords, substrait_versions};
pub use query::{QueryHandle, QueryId, QueryInfo, QueryState};
pub use request::{Origin, Parameters, QueryRequest, RequestLimits, Source};
pub use session::{Description, Session};
pub use sql_type::sql_type;
pub use stream::QueryStream;
