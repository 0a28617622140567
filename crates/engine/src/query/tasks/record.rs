//! The live record of stages and tasks of one query, bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::{StageInfo, Stages, TaskInfo, TaskState};
use crate::text::cut_in_place;

/// Stages of one query that are remembered; a plan has a few dozen at most.
const MAX_STAGES: usize = 1024;

/// Bytes of a stage's plan and of a task's error that are kept.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// Retries whose reasons are kept.
const MAX_RETRIES: usize = 16;

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
    /// Memory that is reserved for it elsewhere, and the most that was, in bytes.
    memory: (u64, u64),
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
        record.memory.0 = 0;
        record.attempt += 1;
        if record.retries.len() < MAX_RETRIES {
            record.retries.push(cut(reason.into()));
        }
    }

    /// Reports memory that is reserved for the query elsewhere, and the most that was, in bytes.
    pub fn memory(&self, used: u64, peak: u64) {
        let mut record = self.0.record.lock();
        record.memory = (used, record.memory.1.max(peak));
    }

    /// Memory that is reserved for it elsewhere, and the most that was, in bytes.
    pub(in crate::query) fn reserved(&self) -> (u64, u64) {
        self.0.record.lock().memory
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
    pub(in crate::query) fn max_tasks(&self) -> usize {
        self.0.max_tasks
    }

    /// The query has ended, and so has everything of it.
    pub(in crate::query) fn close(&self, end: TaskState) {
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
        match (known.is_some_and(|known| known.state.is_final()), info.state.is_final()) {
            (false, true) => self.ended.push_back(key),
            // It begins anew, perhaps elsewhere.
            (true, false) => self.ended.retain(|ended| *ended != key),
            (true, true) | (false, false) => {}
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
        for (key, task) in self.tasks.iter_mut().filter(|(_, task)| !task.state.is_final()) {
            let before = task.clone();
            (task.state, task.ended_at) = (state, now);
            self.ended.push_back(*key);
            if let Some(stage) = self.stages.get_mut(&(task.attempt, task.stage_id)) {
                stage.add(task, Some(&before));
            }
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
    cut_in_place(&mut text, MAX_TEXT_BYTES);
    text
}

#[cfg(test)]
mod tests;
