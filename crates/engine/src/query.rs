//! The life of a query: its id, its phases, the registry of what runs, admission, progress and history.

mod id;
mod info;

pub use id::QueryId;
pub use info::{ErrorInfo, Progress, QueryInfo, QueryState, ResultInfo, Timings};
