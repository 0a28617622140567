//! Stages and tasks of one query, as whoever computes it reports them: live, bounded, and read by everybody who asks what runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Progress;
use super::pipeline::Stage as Pipeline;
use crate::run::LOCAL_WORKER;

mod record;

pub use record::Tasks;

/// Where a stage or a task is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Waits for its inputs or for a slot.
    #[default]
    Pending,
    /// Computes.
    Running,
    /// Ended; everything was produced.
    Finished,
    /// Ended by an error.
    Failed,
    /// Ended because its query did, or was begun anew.
    Cancelled,
}

impl TaskState {
    /// All states, in the order of a task's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Finished, Self::Failed, Self::Cancelled];

    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::Cancelled => true,
            Self::Pending | Self::Running => false,
        }
    }

    /// The name, as in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A stage: the part of a plan between two exchanges, whose partitions are computed by tasks of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInfo {
    /// Its number within the query and attempt.
    pub stage_id: u64,
    /// Which attempt to run the whole query it belongs to, from 1.
    pub attempt: u32,
    /// Where it is in its life.
    pub state: TaskState,
    /// How many tasks it is cut into.
    pub partitions: u64,
    /// Tasks that have finished; counted from the tasks, not reported.
    pub tasks_done: u64,
    /// Rows that its tasks produced; summed up over them, not reported. So are the other sums.
    pub rows: u64,
    /// Bytes that its tasks produced.
    pub bytes: u64,
    /// Bytes that its tasks wrote to spill files.
    #[serde(rename = "spilled_bytes")]
    pub spilled: u64,
    /// Rows that its scans read.
    pub rows_read: u64,
    /// Bytes that its scans read from storage.
    pub bytes_read: u64,
    /// When it began; if not reported, when it was first said to run.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; if not reported, when it was first said to have ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Its operators, as text.
    pub plan: String,
}

/// A task: one partition of a stage, computed at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its stage.
    pub stage_id: u64,
    /// The partition of the stage that it computes.
    pub partition: u64,
    /// Which attempt to run the whole query it belongs to, from 1.
    pub attempt: u32,
    /// The id of the worker that computes it; empty as long as it has none.
    pub worker: String,
    /// Where it is in its life.
    pub state: TaskState,
    /// Rows that it produced.
    pub rows: u64,
    /// Bytes that it produced.
    pub bytes: u64,
    /// Bytes that it wrote to spill files.
    #[serde(rename = "spilled_bytes")]
    pub spilled: u64,
    /// Rows that its scans read.
    pub rows_read: u64,
    /// Bytes that its scans read from storage.
    pub bytes_read: u64,
    /// When it began; if not reported, when it was first said to run.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; if not reported, when it was first said to have ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<String>,
}

impl TaskInfo {
    /// A task of this process.
    pub(super) fn here() -> Self {
        Self { attempt: 1, worker: LOCAL_WORKER.to_owned(), ..Self::default() }
    }
}

impl StageInfo {
    /// A stage with these tasks, and the sums over them.
    pub(super) fn of(tasks: &[TaskInfo]) -> Self {
        let ended = tasks.iter().all(|task| task.state.is_final());
        let began = tasks.iter().any(|task| task.state != TaskState::Pending);
        let cut_short =
            tasks.iter().map(|task| task.state).find(|state| state.is_final() && *state != TaskState::Finished);
        let state = match (ended, began) {
            (true, _) => cut_short.unwrap_or(TaskState::Finished),
            (false, true) => TaskState::Running,
            (false, false) => TaskState::Pending,
        };
        let ends = tasks.iter().filter_map(|task| task.ended_at);
        let mut stage = Self {
            attempt: 1,
            state,
            started_at: tasks.iter().filter_map(|task| task.started_at).min(),
            ended_at: ends.max().filter(|_| ended),
            ..Self::default()
        };
        tasks.iter().for_each(|task| stage.add(task, None));
        stage
    }

    /// Adds what the task did since `before` to the sums.
    fn add(&mut self, task: &TaskInfo, before: Option<&TaskInfo>) {
        let sum = |sum: &mut u64, field: fn(&TaskInfo) -> u64| {
            *sum = sum.saturating_add(field(task)).saturating_sub(before.map_or(0, field));
        };
        sum(&mut self.tasks_done, |task| u64::from(task.state == TaskState::Finished));
        sum(&mut self.rows, |task| task.rows);
        sum(&mut self.bytes, |task| task.bytes);
        sum(&mut self.spilled, |task| task.spilled);
        sum(&mut self.rows_read, |task| task.rows_read);
        sum(&mut self.bytes_read, |task| task.bytes_read);
    }
}

/// Stages and tasks of a query at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages {
    /// Stages, by attempt and number.
    pub stages: Vec<StageInfo>,
    /// Tasks, by attempt, stage and partition.
    pub tasks: Vec<TaskInfo>,
    /// Tasks that are counted in their stages only, because there are too many.
    pub tasks_omitted: u64,
    /// Why the whole query was begun anew, each time that it was.
    pub retries: Vec<String>,
}

impl Stages {
    /// The stages of a plan that runs in this process. `end` is what became of what has not ended.
    pub(super) fn of_plan(pipelines: &[Pipeline], end: Option<TaskState>, max_tasks: usize) -> Self {
        let mut found = Self::default();
        // The last to end comes first there.
        for (pipeline, stage_id) in pipelines.iter().rev().zip(1..) {
            let (stage, mut tasks) = pipeline.report(stage_id, end);
            found.stages.push(stage);
            let room = max_tasks.saturating_sub(found.tasks.len());
            found.tasks_omitted += tasks.len().saturating_sub(room) as u64;
            tasks.truncate(room);
            found.tasks.append(&mut tasks);
        }
        found
    }

    /// Those of a plan that ran in this process and has ended, with what its operators did not measure: of tasks that keep no time
    /// that of the whole, of a last one that counts no rows those that left.
    pub(super) fn ended(mut self, began: DateTime<Utc>, ended: DateTime<Utc>, rows: u64) -> Self {
        for task in &mut self.tasks {
            task.started_at.get_or_insert(began);
            task.ended_at.get_or_insert(ended);
        }
        for stage in &mut self.stages {
            stage.started_at.get_or_insert(began);
            stage.ended_at.get_or_insert(ended);
        }
        if let Some(last) = self.stages.last_mut().filter(|last| last.partitions == 1 && last.rows == 0) {
            last.rows = rows;
            let tasks = self.tasks.iter_mut().filter(|task| task.stage_id == last.stage_id);
            tasks.for_each(|task| task.rows = rows);
        }
        self
    }

    /// With an end of what had none, when the server was killed.
    pub(super) fn interrupted(mut self, at: DateTime<Utc>) -> Self {
        let end = |state: &mut TaskState, ended_at: &mut Option<DateTime<Utc>>| {
            if !state.is_final() {
                (*state, *ended_at) = (TaskState::Cancelled, Some(at));
            }
        };
        self.stages.iter_mut().for_each(|stage| end(&mut stage.state, &mut stage.ended_at));
        self.tasks.iter_mut().for_each(|task| end(&mut task.state, &mut task.ended_at));
        self
    }

    /// Tasks that ended: finished, failed, cancelled. Of those that are only counted, the finished ones.
    pub(super) fn ended_counts(&self) -> [u64; 3] {
        let finished = self.stages.iter().map(|stage| stage.tasks_done).sum();
        let count = |state| self.tasks.iter().filter(|task| task.state == state).count() as u64;
        [finished, count(TaskState::Failed), count(TaskState::Cancelled)]
    }

    /// How far they are, all attempts but the last left out.
    pub(super) fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        let last = self.stages.iter().map(|stage| stage.attempt).max().unwrap_or(0);
        for stage in self.stages.iter().filter(|stage| stage.attempt == last) {
            progress.stages_total += 1;
            progress.stages_done += u64::from(stage.state == TaskState::Finished);
            progress.partitions_total += stage.partitions;
            progress.partitions_done += stage.tasks_done.min(stage.partitions);
            progress.rows_read += stage.rows_read;
            progress.bytes_read += stage.bytes_read;
            progress.spilled_bytes += stage.spilled;
        }
        // Only the end itself is 1.
        let share = |done: u64, total: u64| (done as f64 / total as f64).min(0.99);
        progress.fraction =
            (progress.partitions_total > 0).then(|| share(progress.partitions_done, progress.partitions_total));
        progress
    }
}
