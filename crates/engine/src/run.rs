//! Running an admitted query: runners, the CPU runtime, accounted memory and spill space.

mod arriving;
mod codec;
mod cpu_pool;
mod drive;
mod environment;
mod execution;
mod memory;
mod output;
mod pace;
mod planning;
mod portion;
mod reads;
mod runner;
mod runners;
mod spill;
mod worker;

pub use codec::physical_codec;
pub(crate) use cpu_pool::{CpuPool, CpuThreads};
pub use environment::{Abort, QueryRuntime, TaskEnvironment};
pub(crate) use execution::Execution;
pub(crate) use memory::{AccountedPool, MemoryBudget, Relief};
pub(crate) use planning::{PlanningThreads, check_attended};
pub use runner::{Computed, Planned, Runner, Work};
pub(crate) use runners::{Route, Runners};
pub(crate) use spill::SpillArea;
pub(crate) use worker::LOCAL_WORKER;
pub use worker::{WorkerInfo, WorkerState};

pub use crate::query::{StageInfo, TaskInfo, TaskState, Tasks};
pub use crate::storage::is_json_array;

/// The stack of a thread that plans or runs statements: expressions and plans are trees, which the limits keep as small as
/// this takes. Pages that are not used cost nothing.
pub const STACK_BYTES: usize = 128 << 20;
