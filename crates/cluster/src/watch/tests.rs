use std::sync::Arc;

use ballista_core::serde::protobuf::operator_metric::Metric;
use ballista_core::serde::protobuf::{
    ExecutionError, FailedTask, OperatorMetric, OperatorMetricsSet, ShuffleWritePartition, SuccessfulTask, TaskStatus,
    failed_task, task_status,
};
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::state::execution_graph::TaskDescription;
use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionConfig;
use tidemill_engine::query::{TaskState, Tasks};

use crate::jobs::{Job, Jobs};

/// A record that nobody else reads.
pub(crate) fn tasks() -> Tasks {
    Tasks::new(100)
}

/// A task of a stage with four partitions.
pub(crate) fn task_of(job: &Job, id: usize, partitions: &[usize]) -> TaskDescription {
    let input = EmptyExec::new(Arc::new(Schema::empty())).with_partitions(4);
    let plan: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::new(input)));
    TaskDescription {
        session_id: String::new(),
        key: TaskKey { job_id: job.id.clone(), stage_id: 1, task_id: id },
        stage_attempt_num: 0,
        task_attempt: 0,
        global_input_partition_ids: partitions.to_vec(),
        vcores_consumed: partitions.len() as u32,
        plan,
        session_config: Arc::new(SessionConfig::new()),
    }
}

fn succeeded(job: &Job, id: u32, rows: u64, metrics: Vec<OperatorMetricsSet>) -> TaskStatus {
    let written = ShuffleWritePartition { num_rows: rows, num_bytes: 8 * rows, ..Default::default() };
    let done = SuccessfulTask { partitions: vec![written], ..Default::default() };
    TaskStatus {
        task_id: id,
        job_id: job.id.to_string(),
        stage_id: 1,
        metrics,
        status: Some(task_status::Status::Successful(done)),
        ..Default::default()
    }
}

fn spilled(bytes: u64) -> OperatorMetricsSet {
    let metric = OperatorMetric { partition: Some(0), metric: Some(Metric::SpilledBytes(bytes)) };
    OperatorMetricsSet { metrics: vec![metric] }
}

#[test]
fn a_stage_ends_with_the_last_of_its_tasks() {
    let (jobs, record) = (Jobs::default(), tasks());
    let job = jobs.begin("q", record.clone());
    jobs.bound("a", &task_of(&job, 0, &[0, 1]));
    let stage = &record.now().stages[0];
    assert_eq!((stage.state, stage.partitions), (TaskState::Running, 2), "half of the partitions, so one more task");
    jobs.bound("b", &task_of(&job, 1, &[2, 3]));
    assert_eq!(job.slots(), 4);

    jobs.ended("a", &mut succeeded(&job, 0, 3, vec![spilled(10)]));
    assert_eq!(record.now().stages[0].state, TaskState::Running);
    assert_eq!(job.busy_workers().into_iter().collect::<Vec<_>>(), ["b"]);
    jobs.ended("b", &mut succeeded(&job, 1, 4, vec![spilled(5)]));

    let stage = record.now().stages.remove(0);
    assert_eq!((stage.state, stage.tasks_done, stage.rows, stage.spilled), (TaskState::Finished, 2, 7, 15));
    assert!(stage.plan.contains("CoalescePartitionsExec"), "{}", stage.plan);
    assert!(job.profile().contains("2 tasks on 2 workers"), "{}", job.profile());
}

#[test]
fn metrics_of_another_form_are_left_out() {
    let (jobs, record) = (Jobs::default(), tasks());
    let job = jobs.begin("q", record);
    jobs.bound("a", &task_of(&job, 0, &[0]));
    jobs.bound("a", &task_of(&job, 1, &[1]));
    let mut first = succeeded(&job, 0, 1, vec![spilled(1)]);
    let mut second = succeeded(&job, 1, 1, vec![spilled(1), spilled(2)]);
    jobs.ended("a", &mut first);
    jobs.ended("a", &mut second);
    assert_eq!((first.metrics.len(), second.metrics.len()), (1, 0), "the scheduler takes only equal numbers");
}

#[test]
fn a_failed_task_tells_why_without_marks() {
    let (jobs, record) = (Jobs::default(), tasks());
    let job = jobs.begin("q", record.clone());
    jobs.bound("a", &task_of(&job, 0, &[0]));
    let error = crate::join::fail_text(tidemill_engine::Error::invalid("no such thing"));
    let failed = FailedTask {
        error,
        failed_reason: Some(failed_task::FailedReason::ExecutionError(ExecutionError::default())),
        ..Default::default()
    };
    let mut status = succeeded(&job, 0, 0, Vec::new());
    status.status = Some(task_status::Status::Failed(failed));
    jobs.ended("a", &mut status);
    let now = record.now();
    assert_eq!(now.stages[0].state, TaskState::Failed);
    assert_eq!(now.tasks[0].error.as_deref(), Some("no such thing"));
}
