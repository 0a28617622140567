//! The jobs that a worker has a part in, and their tasks: how they are found, counted and ended.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use ballista_core::serde::protobuf::MultiTaskDefinition;
use ballista_executor::execution_engine::QueryStageExecutor;
use datafusion::error::DataFusionError;
use parking_lot::Mutex;
use tidemill_engine::error::{Error, Result};
use tidemill_engine::run::{Abort, QueryRuntime, TaskEnvironment};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::join::fail_text;

/// How long whoever ends a job waits for its tasks to notice.
const PATIENCE: Duration = Duration::from_secs(10);

/// A task within its job: stage and number.
pub(super) type TaskNumber = (u32, u32);

/// All jobs of one membership.
pub(super) struct Jobs {
    jobs: Mutex<HashMap<String, Arc<Job>>>,
    tasks: Arc<AtomicUsize>,
}

/// A part of a query, as this worker sees it.
pub(super) struct Job {
    pub(super) id: String,
    stop: CancellationToken,
    /// Why it was stopped, if it was not the coordinator who did.
    reason: OnceLock<String>,
    tasks: Mutex<HashMap<TaskNumber, Task>>,
    /// Everything that computes for it.
    pub(super) alive: TaskTracker,
    /// The memory and the spill space of its tasks.
    runtime: OnceLock<QueryRuntime>,
}

struct Task {
    stop: CancellationToken,
    /// What computes it, when it does.
    stage: Option<Weak<dyn QueryStageExecutor>>,
}

/// A task that computes: of which job, which one, and what computes it.
pub(super) type Computing = (Arc<Job>, TaskNumber, Arc<dyn QueryStageExecutor>);

/// A task that the worker owes the coordinator an end of. It counts until this is dropped.
pub(super) struct Accepted {
    pub(super) job: Arc<Job>,
    pub(super) number: TaskNumber,
    pub(super) stop: CancellationToken,
    pub(super) first_error: FirstError,
    count: Arc<AtomicUsize>,
}

/// The error that a task failed with first. Ballista's writers make a text of it, which has no kind.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstError(Arc<Mutex<Option<DataFusionError>>>);

impl FirstError {
    /// Notes the error if it is the first. Returns one with the same text.
    pub(super) fn note(&self, error: DataFusionError) -> DataFusionError {
        let text = error.to_string();
        self.0.lock().get_or_insert(error);
        DataFusionError::Execution(text)
    }

    pub(super) fn take(&self) -> Option<DataFusionError> {
        self.0.lock().take()
    }
}

impl Accepted {
    /// Notes what computes it.
    pub(super) fn computed_by(&self, stage: &Arc<dyn QueryStageExecutor>) {
        if let Some(task) = self.job.tasks.lock().get_mut(&self.number) {
            task.stage = Some(Arc::downgrade(stage));
        }
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        self.job.tasks.lock().remove(&self.number);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Abort for Job {
    fn abort(&self, error: Error) {
        tracing::warn!(job = %self.id, %error, "a job is ended");
        // The first reason is the one.
        let _ = self.reason.set(fail_text(error));
        self.stop.cancel();
    }
}

impl Job {
    /// Why the worker ended it, as text for the coordinator.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Memory that its tasks have now, in bytes.
    pub(super) fn memory_used(&self) -> u64 {
        self.runtime.get().map_or(0, QueryRuntime::memory_used)
    }

    /// The most memory that its tasks had at once, in bytes.
    pub(super) fn memory_peak(&self) -> u64 {
        self.runtime.get().map_or(0, QueryRuntime::memory_peak)
    }

    /// What its tasks compute with.
    pub(super) fn runtime(self: &Arc<Self>, environment: &TaskEnvironment) -> Result<&QueryRuntime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let owner: Weak<dyn Abort> = Arc::<Self>::downgrade(self);
        let made = environment.query_runtime_env(None, owner)?;
        Ok(self.runtime.get_or_init(|| made))
    }

    /// Ends its tasks and waits, but not without end, until nothing computes for it.
    async fn end(&self) {
        self.stop.cancel();
        self.alive.close();
        if tokio::time::timeout(PATIENCE, self.alive.wait()).await.is_err() {
            tracing::warn!(job = %self.id, "tasks of an ended job still compute");
        }
    }
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self { jobs: Mutex::default(), tasks: Arc::default() }
    }

    /// Takes tasks on; each has to be answered with its end.
    pub(super) fn accept(&self, tasks: &MultiTaskDefinition) -> Vec<Accepted> {
        let job = Arc::clone(self.jobs.lock().entry(tasks.job_id.clone()).or_insert_with(|| Job::begin(&tasks.job_id)));
        let accept = |task_id: u32| {
            let (number, stop) = ((tasks.stage_id, task_id), job.stop.child_token());
            job.tasks.lock().insert(number, Task { stop: stop.clone(), stage: None });
            self.tasks.fetch_add(1, Ordering::Relaxed);
            let (job, count) = (Arc::clone(&job), Arc::clone(&self.tasks));
            Accepted { job, number, stop, first_error: FirstError::default(), count }
        };
        tasks.task_ids.iter().map(|task| accept(task.task_id)).collect()
    }

    /// Ends one task; one that is not there has ended.
    pub(super) fn cancel(&self, job: &str, number: TaskNumber) {
        let job = self.jobs.lock().get(job).cloned();
        let stop = job.and_then(|job| job.tasks.lock().get(&number).map(|task| task.stop.clone()));
        if let Some(stop) = stop {
            stop.cancel();
        }
    }

    /// Ends a job with this error.
    pub(super) fn abort(&self, job: &str, error: Error) {
        let job = self.jobs.lock().get(job).cloned();
        if let Some(job) = job {
            job.abort(error);
        }
    }

    /// Ends what computes for a job, and forgets it.
    pub(super) async fn end(&self, job: &str) {
        let job = self.jobs.lock().get(job).cloned();
        if let Some(job) = job {
            job.end().await;
            let mut jobs = self.jobs.lock();
            if jobs.get(&job.id).is_some_and(|current| Arc::ptr_eq(current, &job)) {
                jobs.remove(&job.id);
            }
        }
    }

    pub(super) async fn end_all(&self) {
        let jobs: Vec<Arc<Job>> = self.jobs.lock().drain().map(|(_, job)| job).collect();
        jobs.iter().for_each(|job| job.stop.cancel());
        futures::future::join_all(jobs.iter().map(|job| job.end())).await;
    }

    /// Tasks that have not been answered.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Some of the tasks that compute now.
    pub(super) fn computing(&self, most: usize) -> Vec<Computing> {
        let jobs: Vec<Arc<Job>> = self.jobs.lock().values().map(Arc::clone).collect();
        let mut found = Vec::new();
        for job in jobs {
            let tasks = job.tasks.lock();
            let stages = tasks.iter().filter_map(|(number, task)| Some((*number, task.stage.as_ref()?.upgrade()?)));
            found.extend(stages.map(|(number, stage)| (Arc::clone(&job), number, stage)).take(most - found.len()));
        }
        found
    }

    /// Jobs that have not been ended.
    pub(super) fn count(&self) -> usize {
        self.jobs.lock().len()
    }

    /// Some of the jobs.
    pub(super) fn names(&self, most: usize) -> Vec<String> {
        self.jobs.lock().keys().take(most).cloned().collect()
    }
}

impl Job {
    fn begin(id: &str) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            stop: CancellationToken::new(),
            reason: OnceLock::new(),
            tasks: Mutex::default(),
            alive: TaskTracker::new(),
            runtime: OnceLock::new(),
        })
    }
}
