//! What one job does: its stages and tasks as the scheduler binds them and as the workers end them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ballista_core::serde::protobuf::operator_metric::Metric;
use ballista_core::serde::protobuf::{OperatorMetricsSet, TaskStatus, task_status};
use ballista_scheduler::state::execution_graph::TaskDescription;
use chrono::{DateTime, Utc};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use tidemill_engine::query::{StageInfo, TaskInfo, TaskState, Tasks};

use crate::keys::{self, FilterId, Gathered, Known};
use crate::view;

#[cfg(test)]
pub(crate) mod tests;

/// Stages and tasks of one job.
#[derive(Debug)]
pub(crate) struct Record {
    tasks: Tasks,
    /// The number of the attempt, as the query counts.
    attempt: u32,
    stages: BTreeMap<usize, Stage>,
    keys: Gathered,
}

#[derive(Debug)]
struct Stage {
    plan: Arc<dyn ExecutionPlan>,
    text: String,
    /// Partitions that it has, and how many of them are in tasks.
    partitions: usize,
    covered: usize,
    tasks: BTreeMap<usize, Task>,
    /// Of the operators that report metrics, those that scan.
    scans: Vec<bool>,
    /// Operators that report metrics; all tasks must report as many.
    operators: Option<usize>,
    metrics: Vec<OperatorMetricsSet>,
    /// Runtime filters whose keys it collects.
    collects: Vec<FilterId>,
}

#[derive(Debug)]
struct Task {
    worker: String,
    partition: u64,
    slots: u64,
    state: TaskState,
}

impl Record {
    pub(crate) fn new(tasks: Tasks) -> Self {
        let attempt = tasks.attempt();
        Self { tasks, attempt, stages: BTreeMap::new(), keys: Gathered::default() }
    }

    /// A worker gets a task.
    pub(crate) fn bound(&mut self, worker: &str, task: &TaskDescription) {
        let id = task.key.stage_id;
        let stage = self.stages.entry(id).or_insert_with(|| Stage::of(&task.plan));
        stage.covered += task.global_input_partition_ids.len();
        let partition = task.global_input_partition_ids.first().copied().unwrap_or(task.key.task_id) as u64;
        let bound = Task {
            worker: worker.to_owned(),
            partition,
            slots: u64::from(task.vcores_consumed),
            state: TaskState::Running,
        };
        stage.tasks.insert(task.key.task_id, bound);
        self.tell_stage(id);
        self.tasks.task(TaskInfo {
            stage_id: id as u64,
            partition,
            attempt: self.attempt,
            worker: worker.to_owned(),
            state: TaskState::Running,
            ..TaskInfo::default()
        });
    }

    /// A task ended. Its keys and its metrics stay here: with each task the scheduler would go through those of all tasks before
    /// it, and one that reports another number of operators would be refused together with the news that it has ended.
    pub(crate) fn ended(&mut self, worker: &str, status: &mut TaskStatus) {
        let id = status.stage_id as usize;
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let Some(task) = stage.tasks.get_mut(&(status.task_id as usize)) else { return };
        let mut info = TaskInfo {
            stage_id: id as u64,
            partition: task.partition,
            attempt: self.attempt,
            worker: worker.to_owned(),
            started_at: at_millis(status.start_exec_time),
            ended_at: at_millis(status.end_exec_time),
            ..TaskInfo::default()
        };
        match &mut status.status {
            Some(task_status::Status::Successful(done)) => {
                done.task_column_stats.drain(..).for_each(|keys| self.keys.add(&keys));
                info.state = TaskState::Finished;
                info.rows = done.partitions.iter().map(|partition| partition.num_rows).sum();
                info.bytes = done.partitions.iter().map(|partition| partition.num_bytes).sum();
            }
            Some(task_status::Status::Failed(failed)) => {
                info.state = TaskState::Failed;
                info.error = Some(view::failure_text(&failed.error));
            }
            Some(task_status::Status::Running(_)) | None => return,
        }
        task.state = info.state;
        info.rows_read = stage.rows_read(status);
        for metric in status.metrics.iter().flat_map(|set| &set.metrics) {
            match &metric.metric {
                Some(Metric::SpilledBytes(bytes)) => info.spilled += bytes,
                Some(Metric::Count(count)) if count.name == "bytes_scanned" => info.bytes_read += count.value,
                _ => {}
            }
        }
        stage.take_metrics(status);
        if stage.state() == TaskState::Finished {
            stage.collects.iter().for_each(|id| self.keys.complete(*id));
        }
        self.tasks.task(info);
        self.tell_stage(id);
    }

    fn tell_stage(&mut self, id: usize) {
        let Some(stage) = self.stages.get_mut(&id) else { return };
        self.tasks.stage(StageInfo {
            stage_id: id as u64,
            attempt: self.attempt,
            state: stage.state(),
            partitions: stage.expected_tasks(),
            // Told once, then known.
            plan: std::mem::take(&mut stage.text),
            ..StageInfo::default()
        });
    }

    /// Nobody collects the keys of a runtime filter any more.
    pub(crate) fn no_keys(&mut self, id: FilterId) {
        self.keys.complete(id);
    }

    /// The keys of a runtime filter, when all are known.
    pub(crate) fn keys(&self, id: FilterId) -> Option<Known> {
        self.keys.known(id)
    }

    /// Slots that its tasks occupy.
    pub(crate) fn slots(&self) -> u64 {
        self.running().map(|task| task.slots).sum()
    }

    /// Workers that compute tasks of it now.
    pub(crate) fn busy_workers(&self) -> BTreeSet<String> {
        self.running().map(|task| task.worker.clone()).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Task> {
        let tasks = self.stages.values().flat_map(|stage| stage.tasks.values());
        tasks.filter(|task| task.state == TaskState::Running)
    }

    /// The stages with what their tasks told so far, the last one first.
    pub(crate) fn profile(&self) -> String {
        let stages = self.stages.iter().rev();
        let texts = stages.map(|(id, stage)| {
            let head = format!("Stage {id}: {} tasks on {} workers", stage.tasks.len(), stage.workers());
            format!("{head}\n{}", view::with_metrics(stage.plan.as_ref(), &stage.metrics))
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

impl Stage {
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        // The outermost operator writes the output; what it reads is what the tasks are cut of.
        let input = plan.children().first().map_or(plan, |child| *child);
        Self {
            plan: Arc::clone(plan),
            text: view::stage_text(plan),
            partitions: input.output_partitioning().partition_count(),
            covered: 0,
            tasks: BTreeMap::new(),
            scans: view::scans(plan.as_ref()),
            operators: None,
            metrics: Vec::new(),
            collects: keys::collects(plan.as_ref()),
        }
    }

    /// How many tasks it will have had, as it looks now.
    fn expected_tasks(&self) -> u64 {
        let tasks = self.tasks.len() as u64;
        let missing = self.partitions.saturating_sub(self.covered) as u64;
        let each = (self.covered as u64).checked_div(tasks).unwrap_or(1).max(1);
        tasks + missing.div_ceil(each)
    }

    fn state(&self) -> TaskState {
        let mut states = self.tasks.values().map(|task| task.state);
        if states.clone().any(|state| state == TaskState::Failed) {
            TaskState::Failed
        } else if self.covered >= self.partitions && states.all(|state| state == TaskState::Finished) {
            TaskState::Finished
        } else {
            TaskState::Running
        }
    }

    fn workers(&self) -> usize {
        self.tasks.values().map(|task| task.worker.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// Rows that the scans of a task produced, if its operators are those of the plan.
    fn rows_read(&self, status: &TaskStatus) -> u64 {
        if status.metrics.len() != self.scans.len() {
            return 0;
        }
        let scans = status.metrics.iter().zip(&self.scans).filter(|(_, scans)| **scans);
        let metrics = scans.flat_map(|(set, _)| &set.metrics).filter_map(|metric| metric.metric.as_ref());
        metrics.map(|metric| if let Metric::OutputRows(rows) = metric { *rows } else { 0 }).sum()
    }

    /// Those of another number of operators than the other tasks reported are left out.
    fn take_metrics(&mut self, status: &mut TaskStatus) {
        let measured = std::mem::take(&mut status.metrics);
        if measured.is_empty() {
            return;
        }
        let operators = *self.operators.get_or_insert_with(|| {
            // The scheduler warns of stages without any.
            status.metrics = vec![OperatorMetricsSet::default(); measured.len()];
            measured.len()
        });
        if operators != measured.len() {
            return;
        }
        self.metrics.resize_with(operators, OperatorMetricsSet::default);
        for (all, new) in self.metrics.iter_mut().zip(&measured) {
            view::add_metrics(all, new);
        }
    }
}

fn at_millis(millis: u64) -> Option<DateTime<Utc>> {
    i64::try_from(millis).ok().filter(|millis| *millis > 0).and_then(DateTime::from_timestamp_millis)
}
