//! The seam for a runner that computes plans elsewhere than in this process.
//!
//! A runner only computes. The life of the query stays with the engine: its permit, its deadline, how it is cancelled, the limits
//! of its result, the schema on the wire, the cache and history.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

use super::WorkerInfo;
use crate::error::Result;
use crate::query::{QueryId, Tasks};

/// Computes plans elsewhere.
pub trait Runner: fmt::Debug + Send + Sync {
    /// The name, as history tells it: `cluster`.
    fn name(&self) -> &'static str;

    /// The plan as it would be computed there, if it can go there whole; otherwise the reason, as EXPLAIN and the profile tell
    /// it: a lowercase fragment. Asked when session and size of the query allow it, on a thread that plans.
    ///
    /// # Errors
    /// The reason.
    fn plan<'a>(&'a self, planned: Planned<'a>) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>, String>>;

    /// The distributed plan as EXPLAIN shows it: stages, partitions, exchanges. Nothing runs.
    fn explain(&self, work: Work) -> BoxFuture<'_, Result<String>>;

    /// Computes it. Dropping the future, or the stream in [`Computed`], ends it everywhere.
    fn run(&self, work: Work) -> BoxFuture<'_, Result<Computed>>;

    /// Every worker that is known, lost ones for a while too.
    fn workers(&self) -> Vec<WorkerInfo>;

    /// Lets the worker finish its tasks, and gives it no more.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for an id that no worker has.
    fn drain(&self, worker: &str) -> Result<()>;

    /// Slots of the workers that take tasks, free or not.
    fn slots(&self) -> u64;

    /// Waits for a worker that takes tasks, as long as the runner's configuration says, if there is none.
    fn wait_for_workers(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A statement as it is planned for this process.
#[derive(Debug, Clone, Copy)]
pub struct Planned<'a> {
    /// The optimized logical plan.
    pub logical: &'a LogicalPlan,
    /// The plan as the local runner would run it.
    pub plan: &'a Arc<dyn ExecutionPlan>,
    /// What it was planned with: its settings, its functions, its view of the catalogs.
    pub state: &'a SessionState,
}

/// What there is to compute.
#[derive(Debug)]
pub struct Work {
    /// The query that it belongs to.
    pub id: QueryId,
    /// The session that the query runs in.
    pub session_id: String,
    /// The name of the principal who asked.
    pub principal: String,
    /// The plan as the local runner would run it.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The plan as [`Runner::plan`] made it.
    pub distributed: Arc<dyn ExecutionPlan>,
    /// What the statement was planned with: its settings, its functions, its view of the catalogs.
    pub state: SessionState,
    /// When the query must have ended. The engine drops the work then.
    pub deadline: Option<Instant>,
    /// Cancelled when the query ends early. The engine drops the work then.
    pub cancel: CancellationToken,
    /// Whether it only reads, so that it may be begun anew.
    pub read_only: bool,
    /// Where the runner reports stages and tasks.
    pub tasks: Tasks,
    /// What the runner holds of the query in this process is accounted here. The query's permit returns when the last handle is
    /// dropped.
    pub memory: Arc<dyn MemoryPool>,
}

/// What is computed.
pub struct Computed {
    /// The rows, in order if the plan's are. The schema is the plan's.
    pub batches: BoxStream<'static, Result<RecordBatch>>,
    /// The plan annotated with the metrics gathered from the workers so far, as text.
    pub profile: Arc<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computed").finish_non_exhaustive()
    }
}
