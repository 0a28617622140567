//! Computing tasks: on the threads of queries, each to an end that is told.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ballista_core::serde::protobuf::MultiTaskDefinition;
use ballista_core::serde::scheduler::TaskDefinition;
use datafusion::error::{DataFusionError, Result};
use tidemill_engine::error::Error;

use super::jobs::Accepted;
use super::measured::measured;
use super::membership::Membership;
use super::outcome::{Run, Written, status};
use super::{Shared, quota};

/// Takes tasks on and computes them; does not wait for them.
pub(super) fn launch(shared: &Arc<Shared>, membership: &Arc<Membership>, tasks: MultiTaskDefinition) {
    let accepted = membership.jobs.accept(&tasks);
    let (shared, membership) = (Arc::clone(shared), Arc::clone(membership));
    // Each ends with an end that is told, or with the membership.
    tokio::spawn(async move {
        let run =
            Run { stage_attempt: tasks.stage_attempt_num, launched: tasks.launch_time, started: now(), ended: now() };
        let decoding = Arc::clone(&shared);
        let decoded = shared.environment.cpu().spawn(async move { decoding.decoder.decode(tasks) });
        match decoded.await.unwrap_or_else(|lost| Err(panicked(&lost))) {
            Ok(tasks) => {
                for (task, accepted) in tasks.into_iter().zip(accepted) {
                    tokio::spawn(compute(Arc::clone(&shared), Arc::clone(&membership), task, accepted, run));
                }
            }
            Err(error) => {
                let text = error.to_string();
                for accepted in accepted {
                    let error = DataFusionError::Internal(format!("a task can not be read: {text}"));
                    let ended = status(&membership.id, &accepted, run, Err(error));
                    membership.reports.send(ended, accepted).await;
                }
            }
        }
    });
}

async fn compute(shared: Arc<Shared>, membership: Arc<Membership>, task: TaskDefinition, accepted: Accepted, run: Run) {
    let run = Run { started: now(), ..run };
    let accepted = Arc::new(accepted);
    let computing = {
        let (shared, membership, accepted) = (Arc::clone(&shared), Arc::clone(&membership), Arc::clone(&accepted));
        let alive = accepted.job.alive.token();
        shared.environment.cpu().spawn(async move {
            let _alive = alive;
            write(&shared, &membership, task, &accepted).await
        })
    };
    let mut outcome = computing.await.unwrap_or_else(|lost| Err(panicked(&lost)));
    if let Ok(written) = &outcome {
        let bytes = written.partitions.iter().map(|partition| partition.num_bytes).sum();
        quota::written(&shared, &membership, bytes).await;
        if let Some(reason) = accepted.job.reason() {
            outcome = Err(DataFusionError::Execution(reason.to_owned()));
        }
    }
    let ended = status(&membership.id, &accepted, Run { ended: now(), ..run }, outcome);
    if let Ok(accepted) = Arc::try_unwrap(accepted) {
        membership.reports.send(ended, accepted).await;
    }
}

async fn write(shared: &Shared, membership: &Membership, task: TaskDefinition, accepted: &Accepted) -> Result<Written> {
    let task_id = task.task_id;
    let stage = shared.stages.ready(task, accepted, &membership.folder)?;
    let executor = stage.executor;
    accepted.computed_by(&executor);
    let partitions = executor.execute_query_stage(task_id, stage.context).await?;
    Ok(Written {
        partitions,
        metrics: measured(executor.as_ref(), &accepted.job),
        runtime_stats: executor.collect_runtime_stats_reports(),
        window_state: executor.collect_window_state_reports()?,
        keys: stage.collected.iter().map(|collected| collected.tell()).collect(),
    })
}

fn panicked(lost: &tokio::task::JoinError) -> DataFusionError {
    tracing::error!(error = %lost, "a task was lost");
    Error::internal(format!("the task panicked: {lost}")).into()
}

fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
