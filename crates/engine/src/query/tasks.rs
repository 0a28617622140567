//! Stages and tasks of one query, as whoever computes it reports them: live, bounded, and read by everybody who asks what runs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Progress;
use super::pipeline::Stage as Pipeline;
use crate::run::LOCAL_WORKER;

/// Stages of one query that are remembered; a plan has a few dozen at most.
const MAX_STAGES: usize = 1024;

/// Bytes of a stage's plan and of a task's error that are kept.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// Retries whose reasons are kept.
const MAX_RETRIES: usize = 16;

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
        let cut_short = tasks.iter().map(|task| task.state).find(|state| state.is_final() && *state != TaskState::Finished);
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

/// The live record of stages and tasks of one query. Whoever computes it reports; cheap to clone, and never waits.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Tasks that are remembered one by one.
    max_tasks: usize,
    record: Mutex<Record>,
}

type StageKey = (u32, u64);
type TaskKey = (u32, u64, u64);

#[derive(Debug, Default)]
struct Record {
    stages: BTreeMap<StageKey, StageInfo>,
    tasks: BTreeMap<TaskKey, TaskInfo>,
    /// Tasks that ended, in that order: the order of forgetting.
    ended: VecDeque<TaskKey>,
    omitted: u64,
    retries: Vec<String>,
    attempt: u32,
    /// Set when the query has ended: what is reported later comes too late.
    closed: bool,
}

impl Tasks {
    /// An empty record, that remembers this many tasks one by one.
    pub fn new(max_tasks: usize) -> Self {
        let record = Mutex::new(Record { attempt: 1, ..Record::default() });
        Self(Arc::new(Shared { max_tasks, record }))
    }

    /// The number of the attempt that is under way, from 1: what reports must carry.
    pub fn attempt(&self) -> u32 {
        self.0.record.lock().attempt
    }

    /// Reports a stage: a new one, or how one that was reported before stands now. Its sums and times are kept here.
    pub fn stage(&self, info: StageInfo) {
        self.0.record.lock().stage(info);
    }

    /// Reports a task: a new one, or how one that was reported before stands now. Its stage must have been reported.
    pub fn task(&self, info: TaskInfo) {
        self.0.record.lock().task(info, self.0.max_tasks);
    }

    /// Reports that the whole query begins anew, and why. What has not ended of the attempt before is cancelled.
    pub fn retried(&self, reason: impl Into<String>) {
        let mut record = self.0.record.lock();
        record.end(TaskState::Cancelled);
        record.attempt += 1;
        if record.retries.len() < MAX_RETRIES {
            record.retries.push(cut(reason.into()));
        }
    }

    /// Everything that was reported.
    pub fn now(&self) -> Stages {
        let record = self.0.record.lock();
        Stages {
            stages: record.stages.values().cloned().collect(),
            tasks: record.tasks.values().cloned().collect(),
            tasks_omitted: record.omitted,
            retries: record.retries.clone(),
        }
    }

    /// Tasks that are remembered one by one.
    pub(super) fn max_tasks(&self) -> usize {
        self.0.max_tasks
    }

    /// The query has ended, and so has everything of it.
    pub(super) fn close(&self, end: TaskState) {
        let mut record = self.0.record.lock();
        record.end(end);
        record.closed = true;
    }
}

impl Record {
    fn stage(&mut self, mut info: StageInfo) {
        let key = (info.attempt, info.stage_id);
        let known = self.stages.get(&key);
        if self.closed || (known.is_none() && self.stages.len() >= MAX_STAGES) {
            return;
        }
        let known = known.cloned().unwrap_or_default();
        stamp(info.state, &mut info.started_at, &mut info.ended_at, (known.started_at, known.ended_at));
        info.plan = if info.plan.is_empty() { known.plan } else { cut(info.plan) };
        (info.tasks_done, info.rows, info.bytes) = (known.tasks_done, known.rows, known.bytes);
        (info.spilled, info.rows_read, info.bytes_read) = (known.spilled, known.rows_read, known.bytes_read);
        self.stages.insert(key, info);
    }

    fn task(&mut self, mut info: TaskInfo, max_tasks: usize) {
        if self.closed {
            return;
        }
        let key = (info.attempt, info.stage_id, info.partition);
        let known = self.tasks.get(&key).cloned();
        if known.is_none() && !self.room(max_tasks) {
            // Counted once, when it has ended.
            if info.state.is_final() {
                self.omitted += 1;
                self.add(&info, None);
            }
            return;
        }
        let times = known.as_ref().map_or((None, None), |known| (known.started_at, known.ended_at));
        stamp(info.state, &mut info.started_at, &mut info.ended_at, times);
        info.error = info.error.map(cut);
        self.add(&info, known.as_ref());
        if info.state.is_final() && !known.is_some_and(|known| known.state.is_final()) {
            self.ended.push_back(key);
        }
        self.tasks.insert(key, info);
    }

    /// Whether one more task can be remembered; those that ended first are forgotten for it.
    fn room(&mut self, max_tasks: usize) -> bool {
        while self.tasks.len() >= max_tasks {
            let Some(key) = self.ended.pop_front() else { return false };
            self.omitted += u64::from(self.tasks.remove(&key).is_some());
        }
        true
    }

    /// Adds what the task did since `before` to the sums of its stage.
    fn add(&mut self, task: &TaskInfo, before: Option<&TaskInfo>) {
        if let Some(stage) = self.stages.get_mut(&(task.attempt, task.stage_id)) {
            stage.add(task, before);
        }
    }

    /// Puts an end to what has none.
    fn end(&mut self, state: TaskState) {
        let now = Some(Utc::now());
        for stage in self.stages.values_mut().filter(|stage| !stage.state.is_final()) {
            (stage.state, stage.ended_at) = (state, now);
        }
        for task in self.tasks.values_mut().filter(|task| !task.state.is_final()) {
            (task.state, task.ended_at) = (state, now);
        }
    }
}

/// Fills in the times that were not reported: known ones, or now.
fn stamp(
    state: TaskState,
    started_at: &mut Option<DateTime<Utc>>,
    ended_at: &mut Option<DateTime<Utc>>,
    known: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) {
    let now = Utc::now();
    *started_at = started_at.or(known.0).or((state == TaskState::Running).then_some(now));
    *ended_at = ended_at.or(known.1).or(state.is_final().then_some(now));
}

fn cut(mut text: String) -> String {
    super::history::cut_in_place(&mut text, MAX_TEXT_BYTES);
    text
}
