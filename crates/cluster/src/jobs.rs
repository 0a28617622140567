//! The jobs that run: each is one attempt to compute one query.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::execution_plans::ShuffleWriter;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::{TaskStatus, task_status};
use ballista_scheduler::scheduler_server::JobIdGenerator;
use ballista_scheduler::state::execution_graph::TaskDescription;
use parking_lot::Mutex;
use tidemill_engine::query::Tasks;

use crate::keys::{FilterId, Known};
use crate::watch::Record;

/// Why a job failed, as far as it is known from elsewhere than the job's own error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A worker was lost that computed a part of it or held a part's output.
    Lost(String),
    /// A worker could not read from another one.
    Unreachable {
        /// The id of the one that could not be read from.
        worker: String,
        /// What the reader was told.
        reason: String,
    },
    /// A task failed, with this text.
    Task(String),
}

/// One attempt to compute one query.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    /// Lower runs first.
    pub(crate) rank: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    record: Record,
    /// Workers that have had a task of it.
    workers: BTreeSet<String>,
    cause: Option<Cause>,
    moved: Instant,
    /// It gets no tasks: it is computed, or nobody waits for it any more.
    over: bool,
}

impl Job {
    /// Notes the stages that there will be.
    pub(crate) fn planned(&self, stages: &[Arc<dyn ShuffleWriter>]) {
        self.state.lock().record.planned(stages);
    }

    /// Notes that a worker gets a task.
    fn bound(&self, worker: &str, task: &TaskDescription) {
        let mut state = self.state.lock();
        state.workers.insert(worker.to_owned());
        state.moved = Instant::now();
        state.record.bound(worker, task);
    }

    /// Notes how far a task is.
    fn computes(&self, worker: &str, status: TaskStatus) {
        self.state.lock().record.computes(worker, status);
    }

    /// Notes how a task ended, and takes out what would harm the scheduler.
    fn ended(&self, worker: &str, status: &mut TaskStatus) {
        let mut state = self.state.lock();
        state.moved = Instant::now();
        if let Some(task_status::Status::Failed(failed)) = &status.status {
            let cause = match &failed.failed_reason {
                Some(FailedReason::FetchPartitionError(fetch)) => {
                    Cause::Unreachable { worker: fetch.executor_id.clone(), reason: failed.error.clone() }
                }
                _ => Cause::Task(failed.error.clone()),
            };
            state.cause.get_or_insert(cause);
        }
        state.record.ended(worker, status);
    }

    /// Why it failed; the first cause counts, the others follow from it.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.state.lock().cause.clone()
    }

    /// A worker is lost. Returns whether that ends the job; of one that is computed, the parts of the result that are still there
    /// may be all that are missing.
    fn lost(&self, worker: &str, address: &str) -> bool {
        let mut state = self.state.lock();
        if state.over || !state.workers.contains(worker) {
            return false;
        }
        state.cause.get_or_insert_with(|| Cause::Lost(address.to_owned()));
        state.record.lost(worker, address);
        true
    }

    /// Something of it is alive.
    pub(crate) fn touch(&self) {
        self.state.lock().moved = Instant::now();
    }

    /// For how long nothing moved.
    pub(crate) fn idle(&self) -> Duration {
        self.state.lock().moved.elapsed()
    }

    /// Nobody collects the keys of a runtime filter any more.
    pub(crate) fn no_keys(&self, id: FilterId) {
        self.state.lock().record.no_keys(id);
    }

    /// The keys of a runtime filter, when all are known.
    pub(crate) fn keys(&self, id: FilterId) -> Option<Known> {
        self.state.lock().record.keys(id)
    }

    /// Slots that its tasks occupy.
    pub(crate) fn slots(&self) -> u64 {
        self.state.lock().record.slots()
    }

    /// What its tasks took so far, in time of one slot.
    pub(crate) fn spent(&self) -> Duration {
        self.state.lock().record.spent()
    }

    /// Workers that compute tasks of it now.
    pub(crate) fn busy_workers(&self) -> BTreeSet<String> {
        self.state.lock().record.busy_workers()
    }

    /// Workers that have had a task of it.
    pub(crate) fn workers(&self) -> BTreeSet<String> {
        self.state.lock().workers.clone()
    }

    /// From now on it gets no tasks.
    pub(crate) fn end(&self) {
        self.state.lock().over = true;
    }

    /// Whether it may get tasks.
    pub(crate) fn wants_tasks(&self) -> bool {
        !self.state.lock().over
    }

    /// The stages with what their tasks told so far, as text.
    pub(crate) fn profile(&self) -> String {
        self.state.lock().record.profile()
    }
}

/// The jobs that run, by id.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<String, Arc<Job>>,
    count: u64,
}

impl Jobs {
    /// A new job of the query `name`. Its tasks are reported to `tasks`.
    pub(crate) fn begin(&self, name: &str, tasks: Tasks) -> Arc<Job> {
        let mut inner = self.0.lock();
        inner.count += 1;
        let state = State {
            record: Record::new(tasks),
            workers: BTreeSet::new(),
            cause: None,
            moved: Instant::now(),
            over: false,
        };
        let id = JobId::new(format!("{name}-{}", inner.count));
        let job = Arc::new(Job { id: id.clone(), rank: inner.count, state: Mutex::new(state) });
        inner.by_id.insert(id.into_inner(), Arc::clone(&job));
        job
    }

    /// Forgets the job.
    pub(crate) fn forget(&self, id: &JobId) {
        self.0.lock().by_id.remove(id.as_str());
    }

    /// The job, if it runs.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Job>> {
        self.0.lock().by_id.get(id).map(Arc::clone)
    }

    /// Every job that runs.
    pub(crate) fn all(&self) -> Vec<Arc<Job>> {
        self.0.lock().by_id.values().map(Arc::clone).collect()
    }

    /// Notes that a worker gets a task.
    pub(crate) fn bound(&self, worker: &str, task: &TaskDescription) {
        if let Some(job) = self.get(task.key.job_id.as_str()) {
            job.bound(worker, task);
        }
    }

    /// Notes how far a task is.
    pub(crate) fn computes(&self, worker: &str, status: TaskStatus) {
        if let Some(job) = self.get(&status.job_id) {
            job.computes(worker, status);
        }
    }

    /// Notes how a task ended, and takes out what would harm the scheduler.
    pub(crate) fn ended(&self, worker: &str, status: &mut TaskStatus) {
        if let Some(job) = self.get(&status.job_id) {
            job.ended(worker, status);
        }
    }

    /// A worker is lost: the jobs that end with it.
    pub(crate) fn lost(&self, worker: &str, address: &str) -> Vec<Arc<Job>> {
        let mut jobs = self.all();
        jobs.retain(|job| job.lost(worker, address));
        jobs
    }
}

tokio::task_local! {
    /// The id of the job that this task is about to submit.
    pub(crate) static SUBMITTED: JobId;
}

/// Gives the scheduler the ids that were made here, so that what it tells of a job finds its record from the first event on.
#[derive(Debug)]
pub(crate) struct GivenIds;

#[async_trait]
impl JobIdGenerator for GivenIds {
    async fn next_id(&self) -> String {
        // Nothing but the runner submits.
        SUBMITTED.try_with(|id| id.as_str().to_owned()).unwrap_or_else(|_| uuid::Uuid::now_v7().to_string())
    }
}
