//! What is looked at again and again: who has been silent for too long, and who may leave.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::serde::protobuf::{RemoveJobDataParams, StopExecutorParams};

use super::Parts;
use super::launcher::control;

/// How often.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many looks lie between two audits of the slots.
const AUDIT: u64 = 5;

/// How long a worker may take to take an order.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks until it is dropped.
pub(super) async fn watch(parts: Arc<Parts>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    for look in 0_u64.. {
        ticks.tick().await;
        for id in parts.members.silent() {
            tracing::warn!(worker = %id, timeout = ?parts.config.worker_timeout, "the worker is lost: it does not report");
            parts.lose(&id, "it does not report").await;
        }
        if look.is_multiple_of(AUDIT) {
            let running = parts.scheduler.state.task_manager.get_running_job_cache();
            parts.members.audit(&running).await;
        }
    }
}

impl Parts {
    /// The worker is gone: its jobs end, and it gets no tasks.
    pub(crate) async fn lose(&self, id: &str, reason: &str) {
        if let Some(worker) = self.members.reach(id) {
            self.transport.forget(&worker.host, worker.port);
        }
        // It does not fail: the accounts are ours.
        let _ = self.scheduler.state.executor_manager.remove_executor(id, Some(reason.to_owned())).await;
    }

    /// Lets the worker end what it has; it leaves when nobody needs its files.
    pub(crate) fn order_to_drain(&self, id: &str) -> tidemill_engine::Result<()> {
        let worker = self.members.drain(id)?;
        let mut client = control(&self.transport, &worker)?;
        self.io.spawn(async move {
            let order = StopExecutorParams { executor_id: worker.id.clone(), reason: "drain".to_owned(), force: false };
            // It gets no tasks in any case, and leaves when it is told again or stopped.
            match tokio::time::timeout(PATIENCE, client.stop_executor(order)).await {
                Ok(Ok(_)) => {}
                Ok(Err(status)) => tracing::warn!(worker = %worker.id, %status, "the worker refuses to drain"),
                Err(_) => tracing::warn!(worker = %worker.id, "the worker does not hear that it is to drain"),
            }
        });
        Ok(())
    }

    /// Lets a worker end the tasks of a job and delete its files.
    pub(crate) async fn remove_job(&self, worker: &str, job: &str) {
        let Some(worker) = self.members.reach(worker) else { return };
        let Ok(mut client) = control(&self.transport, &worker) else { return };
        let order = RemoveJobDataParams { job_id: job.to_owned(), remove_stage_ids: Vec::new() };
        let removed = tokio::time::timeout(PATIENCE, client.remove_job_data(order)).await;
        if !matches!(removed, Ok(Ok(_))) {
            // It tells with each report what it holds, and is told again.
            tracing::debug!(worker = %worker.id, job, "the worker does not hear that the job is over");
        }
    }
}
