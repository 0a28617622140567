//! What one job does: its stages and tasks as the scheduler binds them and as the workers end them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::execution_plans::ShuffleWriter;
use ballista_core::serde::protobuf::{TaskStatus, task_status};
use ballista_scheduler::state::execution_graph::TaskDescription;
use chrono::{DateTime, Utc};
use datafusion::physical_plan::ExecutionPlan;
use tidemill_engine::query::{StageInfo, TaskInfo, TaskState, Tasks};

use crate::keys::{FilterId, Gathered, Known};
use crate::view;

use stage::{Stage, Task, written_so_far};

mod stage;
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
    /// What the tasks took that have ended, in time of one slot.
    spent: Duration,
    /// The memory that each worker has reserved, and the most that it had, in bytes.
    memory: BTreeMap<String, (u64, u64)>,
}

impl Record {
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self {
            attempt: tasks.attempt(),
            tasks,
            stages: BTreeMap::new(),
            keys: Gathered::default(),
            spent: Duration::ZERO,
            memory: BTreeMap::new(),
        }
    }

    /// The stages that there will be.
    pub(crate) fn planned(&mut self, stages: &[Arc<dyn ShuffleWriter>]) {
        for writer in stages {
            let plan: Arc<dyn ExecutionPlan> = Arc::clone(writer) as _;
            self.stages.insert(writer.stage_id(), Stage::of(&plan));
            self.tell_stage(writer.stage_id());
        }
    }

    /// A worker gets a task.
    pub(crate) fn bound(&mut self, worker: &str, task: &TaskDescription) {
        let id = task.key.stage_id;
        let stage = self.stages.entry(id).or_insert_with(|| Stage::of(&task.plan));
        if stage.tasks.is_empty() {
            // As it gets to the workers, which is what they measure.
            *stage = Stage::of(&task.plan);
        }
        stage.covered += task.global_input_partition_ids.len();
        let partition = task.global_input_partition_ids.first().copied().unwrap_or(task.key.task_id) as u64;
        let bound = Task {
            worker: worker.to_owned(),
            partition,
            slots: u64::from(task.vcores_consumed),
            state: TaskState::Running,
            bound: Instant::now(),
        };
        stage.tasks.insert(task.key.task_id, bound.clone());
        self.tell_stage(id);
        self.tasks.task(self.info(id, &bound));
    }

    /// A task tells how far it is.
    pub(crate) fn computes(&mut self, worker: &str, mut status: TaskStatus) {
        let id = status.stage_id as usize;
        self.note_memory(worker, &mut status);
        let Some(stage) = self.stages.get(&id) else { return };
        let running = |task: &&Task| task.state == TaskState::Running && task.worker == worker;
        let Some(task) = stage.tasks.get(&(status.task_id as usize)).filter(running) else { return };
        let mut info = self.info(id, task);
        stage.read_metrics(&status, &mut info);
        (info.rows, info.bytes) = written_so_far(&status);
        self.tasks.task(info);
    }

    /// A task ended. Its keys and its metrics stay here: with each task the scheduler would go through those of all tasks before
    /// it, and one that reports another number of operators would be refused together with the news that it has ended.
    pub(crate) fn ended(&mut self, worker: &str, status: &mut TaskStatus) {
        let id = status.stage_id as usize;
        self.note_memory(worker, status);
        let Some(stage) = self.stages.get_mut(&id) else { return };
        let Some(task) = stage.tasks.get_mut(&(status.task_id as usize)) else { return };
        task.state = match &status.status {
            Some(task_status::Status::Successful(_)) => TaskState::Finished,
            Some(task_status::Status::Failed(_)) => TaskState::Failed,
            Some(task_status::Status::Running(_)) | None => return,
        };
        self.spent += task.spent();
        let task = task.clone();
        let mut info = TaskInfo {
            started_at: at_millis(status.start_exec_time),
            ended_at: at_millis(status.end_exec_time),
            ..self.info(id, &task)
        };
        match &mut status.status {
            Some(task_status::Status::Successful(done)) => {
                done.task_column_stats.drain(..).for_each(|keys| self.keys.add(&keys));
                info.rows = done.partitions.iter().map(|partition| partition.num_rows).sum();
                info.bytes = done.partitions.iter().map(|partition| partition.num_bytes).sum();
            }
            Some(task_status::Status::Failed(failed)) => info.error = Some(view::failure_text(&failed.error)),
            _ => {}
        }
        if let Some(stage) = self.stages.get_mut(&id) {
            stage.read_metrics(status, &mut info);
            stage.take_metrics(status);
            if stage.state() == TaskState::Finished {
                stage.collects.iter().for_each(|id| self.keys.complete(*id));
            }
        }
        self.tasks.task(info);
        self.tell_stage(id);
    }

    /// A worker is lost, and with it what it computes.
    pub(crate) fn lost(&mut self, worker: &str, address: &str) {
        if let Some((used, _)) = self.memory.get_mut(worker) {
            *used = 0;
            self.tell_memory();
        }
        let mut lost = Vec::new();
        for (id, stage) in &mut self.stages {
            for task in stage.tasks.values_mut() {
                if task.worker == worker && task.state == TaskState::Running {
                    task.state = TaskState::Failed;
                    lost.push((*id, task.clone()));
                }
            }
        }
        for (id, task) in lost {
            self.spent += task.spent();
            let error = Some(format!("the worker at {address} was lost"));
            self.tasks.task(TaskInfo { error, ..self.info(id, &task) });
            self.tell_stage(id);
        }
    }

    /// A task as it is told, without what it measured.
    fn info(&self, stage: usize, task: &Task) -> TaskInfo {
        TaskInfo {
            stage_id: stage as u64,
            partition: task.partition,
            attempt: self.attempt,
            worker: task.worker.clone(),
            state: task.state,
            ..TaskInfo::default()
        }
    }

    /// Takes out of the metrics how much memory a worker had reserved.
    fn note_memory(&mut self, worker: &str, status: &mut TaskStatus) {
        let used = view::take_gauge(&mut status.metrics, view::MEMORY);
        let peak = view::take_gauge(&mut status.metrics, view::MEMORY_PEAK);
        if let (Some(used), Some(peak)) = (used, peak) {
            let known = self.memory.entry(worker.to_owned()).or_default();
            *known = (used, peak.max(known.1));
            self.tell_memory();
        }
    }

    fn tell_memory(&self) {
        let (used, peak) = self.memory.values().fold((0, 0), |sum, worker| (sum.0 + worker.0, sum.1 + worker.1));
        self.tasks.memory(used, peak);
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

    /// What its tasks took so far, in time of one slot.
    pub(crate) fn spent(&self) -> Duration {
        self.running().map(Task::spent).sum::<Duration>() + self.spent
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

fn at_millis(millis: u64) -> Option<DateTime<Utc>> {
    i64::try_from(millis).ok().filter(|millis| *millis > 0).and_then(DateTime::from_timestamp_millis)
}
