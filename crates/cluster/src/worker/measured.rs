//! What tasks measure, while they compute and when they have ended.

use ballista_core::serde::protobuf::operator_metric::Metric;
use ballista_core::serde::protobuf::{
    NamedGauge, OperatorMetric, OperatorMetricsSet, RunningTask, TaskStatus, task_status,
};
use ballista_executor::execution_engine::QueryStageExecutor;

use super::jobs::{Job, Jobs};
use crate::view::{MEMORY, MEMORY_PEAK, sum_metrics};

/// Tasks whose progress is told at once.
const MAX_TOLD: usize = 256;

/// What the operators of a task measured, each as one value of each name; the first one tells the memory of the job too.
pub(super) fn measured(stage: &dyn QueryStageExecutor, job: &Job) -> Vec<OperatorMetricsSet> {
    let metrics = stage.collect_plan_metrics().into_iter().map(TryInto::<OperatorMetricsSet>::try_into);
    // Numbers that can not be sent are no reason to fail what is written.
    let metrics = metrics.collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let mut metrics: Vec<OperatorMetricsSet> = metrics.iter().map(sum_metrics).collect();
    if let Some(first) = metrics.first_mut() {
        for (name, value) in [(MEMORY, job.memory_used()), (MEMORY_PEAK, job.memory_peak())] {
            let metric = Some(Metric::Gauge(NamedGauge { name: name.to_owned(), value }));
            first.metrics.push(OperatorMetric { partition: None, metric });
        }
    }
    metrics
}

/// How far the tasks are that compute now, or some of them if there are very many.
pub(super) fn progress(worker: &str, jobs: &Jobs) -> Vec<TaskStatus> {
    let tasks = jobs.computing(MAX_TOLD).into_iter();
    let status = tasks.map(|(job, (stage_id, task_id), stage)| TaskStatus {
        task_id,
        job_id: job.id.clone(),
        stage_id,
        metrics: measured(stage.as_ref(), &job),
        status: Some(task_status::Status::Running(RunningTask { executor_id: worker.to_owned() })),
        ..TaskStatus::default()
    });
    status.collect()
}
