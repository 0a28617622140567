//! The life of a query: its id, its phases, the registry of what runs, admission, progress and history.

mod history;
mod id;
mod info;

pub use history::{History, HistoryFilter, Profile};
pub use id::QueryId;
pub use info::{ErrorInfo, Progress, QueryInfo, QueryState, ResultInfo, Timings};
