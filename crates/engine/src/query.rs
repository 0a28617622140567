//! The life of a query: its id, its phases, the registry of what runs, admission, progress and history.

mod admission;
mod event;
mod handle;
mod history;
mod id;
mod info;
mod phase;
mod pipeline;
mod progress;
mod registry;
mod tasks;

pub(crate) use admission::{Admission, Permit, draining};
pub use event::Event;
pub use handle::QueryHandle;
pub(crate) use handle::timed_out;
pub use history::{History, HistoryFilter, Profile};
pub use id::QueryId;
pub use info::{ErrorInfo, Progress, QueryInfo, QueryState, ResultInfo, Timings};
pub(crate) use phase::Life;
pub use phase::{Admitted, Authorized, Planned, Query, Received};
pub use registry::Queries;
pub use tasks::{StageInfo, Stages, TaskInfo, TaskState, Tasks};
