//! How many slots the work at hand asks for: the signal that an autoscaler follows.
//!
//! The work that is left, in seconds of one slot, is divided by the time in which it should be over. What a task costs is
//! measured: by tasks of the same stage, else of the same query, else of queries that ended not long ago. Queries that wait are
//! taken to cost what those that run do.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Engine;
use crate::query::{Stages, TaskInfo, TaskState};
use crate::run::WorkerState;

/// What a task is taken to cost before any was measured, in seconds.
const UNKNOWN_TASK_SECONDS: f64 = 0.5;

/// Queries that tell what one costs.
const MEASURED_QUERIES: usize = 100;

/// How many slots the work at hand asks for; with a cluster, the work and the slots of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Autoscale {
    /// Slots with which the work would be over within the target time, at most one for each task; 0 without work.
    pub desired_slots: u64,
    /// Slots of the workers that take tasks.
    pub slots: u64,
    /// Slots of these without a task.
    pub slots_free: u64,
    /// Queries that run.
    pub queries_running: u64,
    /// Queries that wait for a permit, or for a first worker.
    pub queries_queued: u64,
    /// Tasks that compute now.
    pub tasks_running: u64,
    /// Tasks of running queries that wait for a slot or for their inputs.
    pub tasks_pending: u64,
    /// The work that is left, in seconds of one slot.
    pub backlog_seconds: f64,
    /// The time in which it should be over.
    pub target_seconds: f64,
}

impl Engine {
    /// How many slots the work at hand asks for.
    pub fn autoscale(&self) -> Autoscale {
        let runner = self.runners.remote();
        let counts = |name: Option<&str>| runner.is_none_or(|runner| name == Some(runner.name()));
        let past = self.queries.history().newest_stages(MEASURED_QUERIES, |info| counts(info.runner.as_deref()));
        let typical = Typical::of(past.iter().map(|stages| stages.as_ref()));
        let running = self.queries.handles();
        let running = running.iter().filter(|handle| handle.runner().is_some() && counts(handle.runner()));
        let (mut work, mut queries_running) = (Work::default(), 0);
        for handle in running {
            queries_running += 1;
            work.add(&handle.stages(), typical.task_seconds, Utc::now());
        }
        let queries_queued = match runner {
            Some(_) => self.admission.queued_remote() as u64 + self.runners.waiting(),
            None => self.admission.queued() as u64,
        };
        work.add_queued(queries_queued, &typical);
        let workers = self.workers();
        let active = workers.iter().filter(|worker| worker.state == WorkerState::Active);
        let (slots, slots_free) =
            active.fold((0, 0), |(slots, free), worker| (slots + worker.slots, free + worker.slots_free));
        let target_seconds = self.config.autoscale.target.0.as_secs_f64();
        Autoscale {
            desired_slots: work.slots(target_seconds),
            slots,
            slots_free,
            queries_running,
            queries_queued,
            tasks_running: work.running,
            tasks_pending: work.pending,
            backlog_seconds: work.seconds,
            target_seconds,
        }
    }
}

/// What queries of the past cost.
#[derive(Debug, Default)]
struct Typical {
    /// Of one task.
    task_seconds: Option<f64>,
    /// Tasks of one query.
    query_tasks: Option<f64>,
}

impl Typical {
    fn of<'a>(queries: impl Iterator<Item = &'a Stages>) -> Self {
        let (mut tasks, mut seconds) = (Mean::default(), Mean::default());
        for stages in queries.filter(|stages| !stages.stages.is_empty()) {
            tasks.add(stages.stages.iter().map(|stage| stage.partitions).sum::<u64>() as f64);
            stages.tasks.iter().filter_map(duration).for_each(|task| seconds.add(task));
        }
        Self { task_seconds: seconds.value(), query_tasks: tasks.value() }
    }
}

/// The work that is left.
#[derive(Debug, Default)]
struct Work {
    running: u64,
    pending: u64,
    /// Tasks that queries in the queue will have.
    queued: u64,
    seconds: f64,
    /// What the queries that run cost from their beginning to their end, and how many tasks they have.
    query_seconds: Mean,
    query_tasks: Mean,
}

impl Work {
    /// Adds what is left of a query: of its last attempt, because those before are over.
    fn add(&mut self, query: &Stages, typical: Option<f64>, now: DateTime<Utc>) {
        let last = query.stages.iter().map(|stage| stage.attempt).max().unwrap_or(0);
        let so_far = |task: &TaskInfo| task.started_at.map_or(0.0, |started| seconds(now - started));
        let current = || query.tasks.iter().filter(|task| task.attempt == last);
        let is_running = |task: &&TaskInfo| task.state == TaskState::Running;
        let mut done = Mean::default();
        current().filter_map(duration).for_each(|task| done.add(task));
        // As long as none has ended, what one costs is at least what they took so far.
        let at_least = Mean::of(current().filter(is_running).map(so_far)).unwrap_or(0.0);
        let unmeasured = done.value().unwrap_or_else(|| typical.unwrap_or(UNKNOWN_TASK_SECONDS).max(at_least));
        let (mut left, mut tasks_left) = (0.0, 0);
        for stage in query.stages.iter().filter(|stage| stage.attempt == last && !stage.state.is_final()) {
            let tasks = || current().filter(|task| task.stage_id == stage.stage_id);
            let each = Mean::of(tasks().filter_map(duration)).unwrap_or(unmeasured);
            // What takes longer than its like is expected to take as long again.
            let running: Vec<f64> = tasks().filter(is_running).map(|task| each.max(so_far(task))).collect();
            let pending = stage.partitions.saturating_sub(stage.tasks_done).saturating_sub(running.len() as u64);
            self.running += running.len() as u64;
            self.pending += pending;
            tasks_left += running.len() as u64 + pending;
            left += running.iter().sum::<f64>() + each * pending as f64;
        }
        self.seconds += left;
        self.query_seconds.add(done.sum + left);
        self.query_tasks.add((done.count + tasks_left) as f64);
    }

    /// Adds queries of which nothing is known yet but that they wait.
    fn add_queued(&mut self, queries: u64, typical: &Typical) {
        let tasks = self.query_tasks.value().or(typical.query_tasks).unwrap_or(1.0);
        let of_one = || tasks * typical.task_seconds.unwrap_or(UNKNOWN_TASK_SECONDS);
        self.queued += (queries as f64 * tasks).ceil() as u64;
        self.seconds += queries as f64 * self.query_seconds.value().unwrap_or_else(of_one);
    }

    /// Slots with which it would be over in that time; more than one for each task would stay free.
    fn slots(&self, target_seconds: f64) -> u64 {
        let wanted = (self.seconds / target_seconds.max(0.001)).ceil() as u64;
        wanted.min(self.running + self.pending + self.queued)
    }
}

/// How long a task took that has finished.
fn duration(task: &TaskInfo) -> Option<f64> {
    let (started, ended) = (task.started_at?, task.ended_at?);
    (task.state == TaskState::Finished).then(|| seconds(ended - started))
}

fn seconds(span: chrono::TimeDelta) -> f64 {
    span.as_seconds_f64().max(0.0)
}

#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn of(values: impl Iterator<Item = f64>) -> Option<f64> {
        let mut mean = Self::default();
        values.for_each(|value| mean.add(value));
        mean.value()
    }

    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::query::StageInfo;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    /// A stage of so many tasks, of which these are known: their states, and for how many seconds they ran.
    fn query(partitions: u64, tasks: &[(TaskState, i64)]) -> Stages {
        let done = tasks.iter().filter(|(state, _)| *state == TaskState::Finished).count() as u64;
        let running = TaskState::Running;
        let stage =
            StageInfo { stage_id: 1, attempt: 1, partitions, tasks_done: done, state: running, ..StageInfo::default() };
        let task = |(partition, (state, seconds)): (u64, &(TaskState, i64))| TaskInfo {
            stage_id: 1,
            attempt: 1,
            partition,
            state: *state,
            started_at: Some(NOW - TimeDelta::seconds(*seconds)),
            ended_at: state.is_final().then_some(NOW),
            ..TaskInfo::default()
        };
        Stages { stages: vec![stage], tasks: (0..).zip(tasks).map(task).collect(), ..Stages::default() }
    }

    fn work(query: &Stages, typical: Option<f64>) -> Work {
        let mut work = Work::default();
        work.add(query, typical, NOW);
        work
    }

    #[test]
    fn a_minute_of_work_within_five_seconds_asks_for_twelve_slots() {
        // One took two seconds, so that the thirty that are left take sixty.
        let left = work(&query(31, &[(TaskState::Finished, 2)]), None);
        assert_eq!((left.running, left.pending, left.seconds), (0, 30, 60.0));
        assert_eq!(left.slots(5.0), 12);
        assert_eq!(left.slots(60.0), 1);
    }

    #[test]
    fn no_more_slots_than_tasks_and_none_without_work() {
        let slow = work(&query(3, &[(TaskState::Finished, 100)]), None);
        assert_eq!((slow.seconds, slow.slots(5.0)), (200.0, 2));
        assert_eq!(Work::default().slots(5.0), 0);
        assert_eq!(work(&query(2, &[(TaskState::Finished, 1), (TaskState::Finished, 1)]), None).slots(5.0), 0);
    }

    #[test]
    fn a_task_that_outlasts_its_like_counts_for_what_it_took() {
        let tasks = [(TaskState::Finished, 1), (TaskState::Running, 40), (TaskState::Running, 0)];
        let left = work(&query(3, &tasks), None);
        assert_eq!((left.running, left.pending, left.seconds), (2, 0, 41.0));
    }

    #[test]
    fn tasks_that_run_tell_before_one_has_ended() {
        let left = work(&query(10, &[(TaskState::Running, 20), (TaskState::Running, 20)]), Some(0.1));
        assert_eq!(left.seconds, 200.0);
    }

    #[test]
    fn queries_that_wait_cost_what_those_that_run_do() {
        let cheap = query(4, &[(TaskState::Finished, 1)]);
        let typical = Typical::of([&cheap].into_iter());
        let mut left = work(&query(4, &[(TaskState::Finished, 10), (TaskState::Running, 10)]), Some(1.0));
        assert_eq!(left.seconds, 30.0);
        left.add_queued(2, &typical);
        assert_eq!((left.seconds, left.queued), (110.0, 8));
        assert_eq!(left.slots(10.0), 11);
    }

    #[test]
    fn costs_come_from_the_past_until_there_are_some() {
        let new = query(10, &[]);
        assert_eq!(work(&new, None).seconds, 10.0 * UNKNOWN_TASK_SECONDS);
        let past = query(4, &[(TaskState::Finished, 3), (TaskState::Failed, 90)]);
        let typical = Typical::of([&past, &Stages::default()].into_iter());
        assert_eq!((typical.task_seconds, typical.query_tasks), (Some(3.0), Some(4.0)));
        assert_eq!(work(&new, typical.task_seconds).seconds, 30.0);
        let mut waiting = Work::default();
        waiting.add_queued(2, &typical);
        assert_eq!((waiting.queued, waiting.seconds), (8, 24.0));
    }

    #[test]
    fn what_was_begun_anew_counts_once() {
        let mut retried = query(5, &[]);
        retried.stages.push(StageInfo { attempt: 2, ..retried.stages[0].clone() });
        assert_eq!(work(&retried, Some(1.0)).pending, 5);
    }
}
