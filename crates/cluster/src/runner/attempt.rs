//! One attempt to compute a query: submitted, waited for with an eye on whether anything moves, and fetched.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::{JobStatus, PartitionLocation};
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tidemill_engine::error::{Error, ErrorKind, Result};
use tidemill_engine::run::Work;
use tokio::sync::mpsc;

use super::nobody;
use super::release::Release;
use crate::coordinator::Parts;
use crate::fetch::fetch;
use crate::jobs::{Cause, Job, SUBMITTED};
use crate::join;
use crate::plan;

/// News of the scheduler about one job that wait; each stage brings a few, and what does not fit is asked for.
const NEWS: usize = 1024;

/// How often is looked whether the job moves, and asked how it is, should news be lost.
const LOOK: Duration = Duration::from_millis(250);

/// Whose fault it is that an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The query's: it would fail again.
    Query,
    /// Workers were lost or did not reach each other.
    Workers,
    /// Nothing moved.
    Stalled,
    /// Nobody wants the rows any more.
    Gone,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) why: Why,
    /// Whether rows have left: the query can not be begun anew.
    pub(super) rows_left: bool,
}

impl Failure {
    fn of(why: Why, error: Error) -> Self {
        Self { error, why, rows_left: false }
    }
}

/// An attempt.
pub(super) struct Attempt {
    parts: Arc<Parts>,
    job: Arc<Job>,
    /// Dropped with the attempt, which ends the job everywhere.
    release: Release,
}

impl Attempt {
    pub(super) fn new(parts: Arc<Parts>, work: &Work) -> Self {
        let job = parts.jobs.begin(&work.id.to_string(), work.tasks.clone());
        let release = Release::of(Arc::clone(&parts), Arc::clone(&job));
        Self { parts, job, release }
    }

    pub(super) fn job(&self) -> Arc<Job> {
        Arc::clone(&self.job)
    }

    /// Computes the query and hands its rows out.
    pub(super) async fn run(mut self, work: &Work, sink: &mpsc::Sender<Result<RecordBatch>>) -> Result<(), Failure> {
        let mut news = self.submit(work).await?;
        let locations = self.wait(&mut news).await?;
        self.job.end();
        self.hand_out(work, locations, sink).await
    }

    async fn submit(&mut self, work: &Work) -> Result<mpsc::Receiver<JobStatus>, Failure> {
        let width = self.parts.members.width();
        if width.slots == 0 {
            return Err(Failure::of(Why::Workers, nobody()));
        }
        let state = plan::state(&work.state, &self.parts.config, width, self.job.id.as_str());
        let stages = plan::stages(&work.distributed, state.config_options());
        self.job.planned(&stages.map_err(|reason| Failure::of(Why::Query, Error::unsupported(reason)))?);
        let context = Arc::new(SessionContext::new_with_state(state));
        let (tell, news) = mpsc::channel(NEWS);
        self.release.submitted = true;
        let plan = Arc::clone(&work.distributed);
        let submit = self.parts.scheduler.submit_physical_plan(&work.session_id, context, plan, Some(tell));
        let submitted = SUBMITTED.scope(self.job.id.clone(), submit).await;
        submitted.map_err(|error| {
            let error = Error::internal("the scheduler takes no queries").caused_by(error);
            Failure::of(Why::Query, error)
        })?;
        Ok(news)
    }

    /// Waits until the job is computed. Returns where the parts of its result are.
    async fn wait(&self, news: &mut mpsc::Receiver<JobStatus>) -> Result<Vec<PartitionLocation>, Failure> {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = true;
        loop {
            let status = tokio::select! {
                status = news.recv(), if told => {
                    told = status.is_some();
                    status
                }
                _ = looks.tick() => self.parts.scheduler.state.task_manager.get_job_status(&self.job.id).await.ok().flatten(),
            };
            match status.and_then(|status| status.status) {
                Some(Status::Successful(done)) => return Ok(done.partition_location),
                Some(Status::Failed(failed)) => return Err(self.failure(&failed.error)),
                // While it is planned, no task can move; what that takes is bounded by the query's deadline.
                Some(Status::Queued(_)) => self.job.touch(),
                None | Some(Status::Running(_)) => self.check_movement()?,
            }
        }
    }

    /// A job moves when a task is given or ends, when a worker says that it computes one, and as long as it may only be that
    /// others have all slots. One that nobody is left to compute does not wait for long.
    fn check_movement(&self) -> Result<(), Failure> {
        let (members, computes) = (&self.parts.members, self.job.slots() > 0);
        if members.slots() == 0 && !computes && self.job.idle() >= self.parts.config.worker_wait {
            return Err(Failure::of(Why::Workers, nobody()));
        }
        if members.slots() > 0 && !members.has_free_slots() && !computes {
            self.job.touch();
        }
        let limit = self.parts.config.stall_timeout;
        if self.job.idle() < limit {
            return Ok(());
        }
        let message = format!("nothing moved for {}", tidemill_engine::units::Span(limit));
        Err(Failure::of(Why::Stalled, Error::new(ErrorKind::Unavailable, message)))
    }

    fn failure(&self, text: &str) -> Failure {
        let unavailable = |message: String| Failure::of(Why::Workers, Error::new(ErrorKind::Unavailable, message));
        match self.job.cause() {
            Some(Cause::Lost(address)) => unavailable(format!("the worker at {address} was lost")),
            Some(Cause::Unreachable { worker, reason }) => {
                tracing::debug!(%worker, %reason, "a worker can not be read from");
                let address = self.parts.members.reach(&worker);
                let place = address.map_or(worker, |worker| format!("{}:{}", worker.host, worker.port));
                unavailable(format!("the worker at {place} could not be read from by another one"))
            }
            Some(Cause::Task(text)) => Failure::of(Why::Query, join::read_fail(&text)),
            None => Failure::of(Why::Query, join::read_fail(text)),
        }
    }

    async fn hand_out(
        &self,
        work: &Work,
        locations: Vec<PartitionLocation>,
        sink: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<(), Failure> {
        let ordered = work.plan.output_ordering().is_some();
        let mut rows = fetch(&self.parts.transport, locations, ordered, self.parts.config.fetches);
        let mut rows_left = false;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|missing| {
                self.parts.members.suspect(&missing.worker);
                let error = Error::new(ErrorKind::Unavailable, missing.to_string());
                Failure { error, why: Why::Workers, rows_left }
            })?;
            if batch.num_rows() == 0 {
                continue;
            }
            rows_left = true;
            if sink.send(Ok(batch)).await.is_err() {
                let error = Error::new(ErrorKind::Cancelled, "nobody reads the result");
                return Err(Failure { error, why: Why::Gone, rows_left });
            }
        }
        Ok(())
    }
}
