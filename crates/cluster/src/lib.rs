//! The distributed runner: queries that one machine is too small for, computed by workers.
//!
//! The stages, tasks and shuffles are Apache Ballista's, whose scheduler is embedded in the coordinator. Ours is what it has not:
//! who may talk to whom (`transport`, `join`), plans whose stages are right (`plan`), what a lost worker does to a query
//! (`members`, `jobs`), results that stream (`fetch`), and the query's life around it (`runner`).

mod codec;
mod config;
mod coordinator;
mod fetch;
mod jobs;
pub mod join;
mod keys;
mod members;
mod plan;
mod runner;
pub mod transport;
mod view;
mod watch;
pub mod worker;

pub use codec::physical_codec;
pub use config::{CoordinatorConfig, RESERVE};
pub use coordinator::Coordinator;
