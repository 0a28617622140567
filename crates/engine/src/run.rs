//! Running an admitted query: runners, the CPU runtime, accounted memory and spill space.

mod cpu_pool;
mod execution;
mod local;
mod memory;
mod pace;
mod planning;
mod portion;
mod reads;
mod runner;
mod spill;

pub(crate) use cpu_pool::{CpuPool, CpuThreads};
pub(crate) use execution::Execution;
pub(crate) use local::LocalRunner;
pub(crate) use memory::{AccountedPool, MemoryBudget, Relief};
pub(crate) use planning::PlanningThreads;
pub use runner::Runner;
pub(crate) use runner::Runners;
pub(crate) use spill::SpillArea;

/// The stack of a thread that plans or runs statements: expressions and plans are trees, which the limits keep as small as
/// this takes. Pages that are not used cost nothing.
pub const STACK_BYTES: usize = 128 << 20;
