//! Runs queries on the cluster: each attempt is a job of its own, and what leaves is whole or an error.

mod attempt;
mod release;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use parking_lot::Mutex;
use tidemill_engine::error::{Error, ErrorKind, Result, Subject};
use tidemill_engine::run::{Computed, Planned, Runner, Work, WorkerInfo};
use tidemill_engine::units::Span;
use tokio::sync::mpsc;

use crate::config::CoordinatorConfig;
use crate::coordinator::Parts;
use crate::jobs::Job;
use crate::plan;
use crate::view;

use attempt::{Attempt, Failure};

/// Batches that wait for the engine; the fetching rests when they are not taken.
const BATCHES_AHEAD: usize = 2;

/// The runner of a coordinator.
#[derive(Debug)]
pub(crate) struct ClusterRunner {
    parts: Arc<Parts>,
}

impl ClusterRunner {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }
}

impl Runner for ClusterRunner {
    fn name(&self) -> &'static str {
        "cluster"
    }

    fn plan<'a>(&'a self, planned: Planned<'a>) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>, String>> {
        let parts = &self.parts;
        plan::plan(planned, &parts.config, parts.members.width(), parts.codec.as_ref()).boxed()
    }

    fn explain(&self, work: Work) -> BoxFuture<'_, Result<String>> {
        let state = plan::state(&work.state, &self.parts.config, self.parts.members.width(), "explain");
        std::future::ready(view::distributed(&work.distributed, state.config_options())).boxed()
    }

    fn run(&self, work: Work) -> BoxFuture<'_, Result<Computed>> {
        let (sink, batches) = mpsc::channel(BATCHES_AHEAD);
        let seen = Arc::new(Seen::default());
        let task = SpawnedTask::spawn(drive(Arc::clone(&self.parts), work, sink, Arc::clone(&seen)));
        let rows = Rows { batches, _task: task };
        let profile = Arc::new(move || seen.profile());
        std::future::ready(Ok(Computed { batches: rows.boxed(), profile })).boxed()
    }

    fn workers(&self) -> Vec<WorkerInfo> {
        self.parts.members.infos()
    }

    fn drain(&self, worker: &str) -> Result<()> {
        self.parts.order_to_drain(worker)
    }

    fn slots(&self) -> u64 {
        self.parts.members.slots()
    }

    fn wait_for_workers(&self) -> BoxFuture<'_, ()> {
        let parts = &self.parts;
        async move {
            // Whoever asks looks again.
            let _ = parts.members.some(parts.config.worker_wait).await;
        }
        .boxed()
    }
}

/// The rows of a query. Dropping them ends what computes them.
struct Rows {
    batches: mpsc::Receiver<Result<RecordBatch>>,
    _task: SpawnedTask<()>,
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_recv(context)
    }
}

/// What can be said of a query while it runs and when it has ended.
#[derive(Debug, Default)]
struct Seen(Mutex<Option<Arc<Job>>>);

impl Seen {
    fn profile(&self) -> String {
        self.0.lock().as_ref().map(|job| job.profile()).unwrap_or_default()
    }
}

/// Attempts the query until it is computed, or may not be begun anew.
async fn drive(parts: Arc<Parts>, work: Work, sink: mpsc::Sender<Result<RecordBatch>>, seen: Arc<Seen>) {
    let (mut retries, mut stalls) = (0, 0);
    loop {
        let attempt = Attempt::new(Arc::clone(&parts), &work);
        *seen.0.lock() = Some(attempt.job());
        let Err(failure) = attempt.run(&work, &sink).await else { return };
        let again = work.read_only && !failure.rows_left;
        let allowed = match failure.why {
            attempt::Why::Workers => retries < parts.config.retries,
            // Once: what is stuck twice is stuck.
            attempt::Why::Stalled => stalls == 0,
            attempt::Why::Query | attempt::Why::Gone => false,
        };
        if again && allowed {
            if parts.members.some(parts.config.worker_wait).await {
                match failure.why {
                    attempt::Why::Stalled => stalls += 1,
                    _ => retries += 1,
                }
                tracing::warn!(query = %work.id, reason = failure.error.message(), "the query begins anew");
                work.tasks.retried(failure.error.message());
                continue;
            }
            // Who is gone does not hear it.
            let _ = sink.send(Err(alone(&failure.error, &parts.config))).await;
            return;
        }
        let _ = sink.send(Err(explained(failure, retries + stalls))).await;
        return;
    }
}

/// The error of a query that could begin anew if there were a worker.
fn alone(error: &Error, config: &CoordinatorConfig) -> Error {
    let nobody = nobody();
    if error.message() == nobody.message() {
        return nobody;
    }
    let wait = Span(config.worker_wait);
    let message = format!("{}, and no other one took tasks within {wait} (cluster.worker_wait)", error.message());
    Error::new(ErrorKind::Unavailable, message).hint("start workers, or SET runner = 'local'")
}

/// The error with what was done about it.
fn explained(failure: Failure, retries: u32) -> Error {
    let Failure { error, why, rows_left } = failure;
    match why {
        attempt::Why::Query | attempt::Why::Gone => error,
        attempt::Why::Workers | attempt::Why::Stalled if rows_left => Error::new(
            ErrorKind::Unavailable,
            format!("{}, and a part of the result had left already", error.message()),
        )
        .hint("run the query again"),
        attempt::Why::Workers | attempt::Why::Stalled if retries > 0 => {
            let times = if retries == 1 { "once".to_owned() } else { format!("{retries} times") };
            Error::new(
                ErrorKind::Unavailable,
                format!("{}; it began anew {times} before (cluster.retries)", error.message()),
            )
            .hint("run the query again, or SET runner = 'local'; system.workers shows who is there")
        }
        attempt::Why::Workers | attempt::Why::Stalled => error,
    }
}

/// There is nobody to compute it.
fn nobody() -> Error {
    Error::new(ErrorKind::Unavailable, "no worker takes tasks")
        .about(Subject::Query)
        .hint("start workers, or SET runner = 'local'")
}
