//! How a task ended, in the words that the coordinator understands.

use ballista_core::error::BallistaError;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::{
    ExecutionError, FailedTask, OperatorMetricsSet, RuntimeStatsReport, ShuffleWritePartition, SuccessfulTask,
    TaskColumnStats, TaskKilled, TaskStatus, WindowStateReport, task_status,
};
use datafusion::error::DataFusionError;
use tidemill_engine::error::{Error, ErrorKind, Subject};

use super::jobs::Accepted;
use crate::join::fail_text;

/// What a task has written, and what was learned on the way.
pub(super) struct Written {
    pub(super) partitions: Vec<ShuffleWritePartition>,
    pub(super) metrics: Vec<OperatorMetricsSet>,
    pub(super) runtime_stats: Vec<RuntimeStatsReport>,
    pub(super) window_state: Vec<WindowStateReport>,
    /// Of runtime filters. They go where Ballista has statistics of columns, which only its adaptive planner reads.
    pub(super) keys: Vec<TaskColumnStats>,
}

/// Which task it is, and when it ran; times in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) stage_attempt: u32,
    pub(super) launched: u64,
    pub(super) started: u64,
    pub(super) ended: u64,
}

/// The end of a task, as it is told.
pub(super) fn status(worker: &str, task: &Accepted, run: Run, outcome: Result<Written, DataFusionError>) -> TaskStatus {
    let (metrics, status) = match outcome {
        Ok(written) => {
            let done = SuccessfulTask {
                executor_id: worker.to_owned(),
                partitions: written.partitions,
                runtime_stats: written.runtime_stats,
                task_column_stats: written.keys,
                window_state: written.window_state,
            };
            (written.metrics, task_status::Status::Successful(done))
        }
        Err(error) => (Vec::new(), task_status::Status::Failed(failure(worker, task, error))),
    };
    TaskStatus {
        task_id: task.number.1,
        job_id: task.job.id.clone(),
        stage_id: task.number.0,
        stage_attempt_num: run.stage_attempt,
        launch_time: run.launched,
        start_exec_time: run.started,
        end_exec_time: run.ended,
        metrics,
        status: Some(status),
    }
}

fn failure(worker: &str, task: &Accepted, error: DataFusionError) -> FailedTask {
    if let Some(reason) = task.job.reason() {
        return executing(reason.to_owned());
    }
    if task.stop.is_cancelled() {
        return FailedTask {
            error: "the task was cancelled".to_owned(),
            retryable: false,
            count_to_failures: false,
            failed_reason: Some(FailedReason::TaskKilled(TaskKilled {})),
        };
    }
    let error = task.first_error.take().unwrap_or(error);
    // Who lost the output of an earlier stage matters to the coordinator more than the words.
    match FailedTask::from(BallistaError::from(error_like(&error))) {
        lost @ FailedTask { failed_reason: Some(FailedReason::FetchPartitionError(_)), .. } => lost,
        _ => executing(fail_text(classify(worker, error))),
    }
}

fn executing(error: String) -> FailedTask {
    let failed_reason = Some(FailedReason::ExecutionError(ExecutionError {}));
    FailedTask { error, retryable: false, count_to_failures: false, failed_reason }
}

/// The failed fetch in an error, if there is one; else any error.
fn error_like(error: &DataFusionError) -> DataFusionError {
    let root = match error.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref::<BallistaError>(),
        _ => None,
    };
    match root {
        Some(BallistaError::DataFusionError(inner)) => error_like(inner),
        Some(BallistaError::FetchFailed(worker, stage, partition, message)) => {
            BallistaError::FetchFailed(worker.clone(), *stage, *partition, message.clone()).into_datafusion()
        }
        _ => DataFusionError::Execution(String::new()),
    }
}

/// The failure in the engine's vocabulary.
fn classify(worker: &str, error: DataFusionError) -> Error {
    let text = error.to_string();
    if is_disk_full(&text) {
        return Error::new(ErrorKind::Resources, format!("the disk of worker {worker} is full"))
            .about(Subject::Disk)
            .hint("narrow the query, add workers, or give worker.work_dir more space");
    }
    if text.contains("panicked") {
        tracing::error!(%text, "a task panicked");
        return Error::internal(text);
    }
    let error = Error::from(unwrapped(error));
    match error.kind() {
        // Each worker has its own.
        ErrorKind::Resources | ErrorKind::Storage => located(worker, error),
        _ => error,
    }
}

/// The error with the worker whose memory, disk or way to the store it is.
fn located(worker: &str, error: Error) -> Error {
    let told = Error::new(error.kind(), format!("on worker {worker}: {}", error.message()));
    let told = match error.subject() {
        Some(subject) => told.about(subject),
        None => told,
    };
    match (error.hint_text(), error.subject()) {
        (_, Some(Subject::Memory)) => {
            told.hint("narrow the query, add workers, or raise worker.memory or memory.per_query there")
        }
        (_, Some(Subject::Credentials)) => {
            told.hint("workers read stores themselves: give each the same [storage] settings")
        }
        (Some(hint), _) => told.hint(hint),
        (None, _) => told,
    }
}

fn is_disk_full(text: &str) -> bool {
    ["No space left on device", "os error 28", "os error 122"].iter().any(|sign| text.contains(sign))
}

/// The error without Ballista's wrapping, which hides its kind.
fn unwrapped(error: DataFusionError) -> DataFusionError {
    let inner = match error {
        DataFusionError::External(inner) => inner,
        error => return error,
    };
    match inner.downcast::<BallistaError>().map(|inner| *inner) {
        Ok(BallistaError::DataFusionError(error)) => unwrapped(*error),
        Ok(BallistaError::ArrowError(error)) => DataFusionError::ArrowError(error, None),
        Ok(BallistaError::IoError(error)) => DataFusionError::IoError(error),
        Ok(error) => DataFusionError::Execution(error.to_string()),
        Err(inner) => DataFusionError::External(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::read_fail;

    #[test]
    fn kinds_survive_the_wrapping() {
        let own = Error::new(ErrorKind::Data, "1 / 0").about(Subject::ZeroDivision);
        let wrapped = BallistaError::DataFusionError(Box::new(own.into())).into_datafusion();
        let read = read_fail(&fail_text(classify("w", wrapped)));
        assert_eq!((read.kind(), read.subject()), (ErrorKind::Data, Some(Subject::ZeroDivision)));
    }

    #[test]
    fn a_full_disk_is_named() {
        let full = std::io::Error::from_raw_os_error(28);
        let error = classify("w1", BallistaError::IoError(full).into_datafusion());
        assert_eq!((error.kind(), error.subject()), (ErrorKind::Resources, Some(Subject::Disk)));
        assert!(error.message().contains("w1"), "{error}");
    }

    #[test]
    fn a_failed_fetch_is_found() {
        let lost = BallistaError::FetchFailed("w2".to_owned(), 1, 2, "gone".to_owned()).into_datafusion();
        let context = DataFusionError::Context("reading".to_owned(), Box::new(lost));
        let failed = FailedTask::from(BallistaError::from(error_like(&context)));
        assert!(matches!(failed.failed_reason, Some(FailedReason::FetchPartitionError(_))));
    }
}
