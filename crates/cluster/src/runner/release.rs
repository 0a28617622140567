//! The end of a job, however it comes: its tasks are cancelled and its files deleted.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::serde::protobuf::job_status::Status;

use crate::coordinator::Parts;
use crate::jobs::Job;
use crate::members::Ends;

/// How long after a cancellation the scheduler is first asked whether the job has ended; each time it takes twice as long.
const POLL: Duration = Duration::from_millis(20);
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// How long a job may take to be planned and to end after that, before it is forgotten as it is.
const PATIENCE: Duration = Duration::from_secs(600);

/// Releases a job when it is dropped.
#[derive(Debug)]
pub(super) struct Release {
    parts: Arc<Parts>,
    job: Arc<Job>,
    /// Whether the scheduler knows the job.
    pub(super) submitted: bool,
}

impl Release {
    pub(super) fn of(parts: Arc<Parts>, job: Arc<Job>) -> Self {
        Self { parts, job, submitted: false }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.job.end();
        if self.submitted {
            self.parts.io.spawn(release(Arc::clone(&self.parts), Arc::clone(&self.job)));
        } else {
            self.parts.jobs.forget(&self.job.id);
        }
    }
}

async fn release(parts: Arc<Parts>, job: Arc<Job>) {
    if tokio::time::timeout(PATIENCE, ended(&parts, &job)).await.is_err() {
        tracing::error!(job = %job.id, "the scheduler does not end a job that was cancelled");
    }
    let workers = job.workers();
    let removed = workers.iter().map(|worker| parts.remove_job(worker, job.id.as_str()));
    futures::future::join_all(removed).await;
    // Unknown is as good as removed.
    let _ = parts.job_state.remove_job(&job.id).await;
    parts.jobs.forget(&job.id);
}

/// Cancels the job until it has ended: a job that is still being planned does not hear it.
async fn ended(parts: &Parts, job: &Job) {
    let mut poll = POLL;
    loop {
        let status = parts.scheduler.state.task_manager.get_job_status(&job.id).await.ok().flatten();
        if matches!(status.and_then(|status| status.status), Some(Status::Successful(_) | Status::Failed(_))) {
            return;
        }
        parts.end(job.id.clone()).await;
        tokio::time::sleep(poll).await;
        poll = (2 * poll).min(LONGEST_POLL);
    }
}
