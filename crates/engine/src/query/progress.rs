//! How far a query is, read from the metrics that its plan keeps anyway: nothing is added to the hot path but two counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use parking_lot::Mutex;

use super::pipeline::{Stage, stages};
use super::{Profile, Progress, QueryState, Stages, TaskState, Tasks};
use crate::run::AccountedPool;
use crate::storage::ReadCounter;

/// Counts what a query does.
#[derive(Debug)]
pub(crate) struct Meter {
    /// What a runner elsewhere reports.
    tasks: Tasks,
    rows_produced: AtomicU64,
    bytes_produced: AtomicU64,
    reads: Arc<ReadCounter>,
    logical: OnceLock<String>,
    source: Mutex<Source>,
}

/// Gives the plan of what runs elsewhere, with the metrics gathered so far.
type RemoteProfile = Arc<dyn Fn() -> String + Send + Sync>;

#[derive(Default)]
enum Source {
    /// Not running yet.
    #[default]
    None,
    /// Running: the plan, its stages and the query's memory.
    Running { plan: Arc<dyn ExecutionPlan>, stages: Vec<Stage>, memory: Arc<AccountedPool>, since: DateTime<Utc> },
    /// Running elsewhere, and the query's memory here.
    Elsewhere { profile: RemoteProfile, memory: Arc<AccountedPool> },
    /// Ended: the last look.
    Ended(Box<Last>),
}

/// The last look at a query.
#[derive(Debug)]
struct Last {
    progress: Progress,
    profile: String,
    stages: Stages,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Running { .. } => "Running",
            Self::Elsewhere { .. } => "Elsewhere",
            Self::Ended(_) => "Ended",
        })
    }
}

impl Meter {
    pub(super) fn new(tasks: Tasks) -> Self {
        Self {
            tasks,
            rows_produced: AtomicU64::new(0),
            bytes_produced: AtomicU64::new(0),
            reads: Arc::default(),
            logical: OnceLock::new(),
            source: Mutex::default(),
        }
    }

    /// Notes the optimized logical plan.
    pub(crate) fn planned(&self, logical: String) {
        // A query is planned once.
        let _ = self.logical.set(logical);
    }

    /// Begins to watch a plan.
    pub(crate) fn watch(&self, plan: &Arc<dyn ExecutionPlan>, memory: Arc<AccountedPool>) {
        *self.source.lock() =
            Source::Running { plan: Arc::clone(plan), stages: stages(plan), memory, since: Utc::now() };
    }

    /// Begins to watch what a runner computes elsewhere.
    pub(crate) fn watch_elsewhere(&self, profile: RemoteProfile, memory: Arc<AccountedPool>) {
        *self.source.lock() = Source::Elsewhere { profile, memory };
    }

    /// Looks once more and lets go of plan and memory.
    pub(super) fn stop(&self, state: QueryState) {
        let end = if state == QueryState::Finished { TaskState::Finished } else { TaskState::Cancelled };
        self.tasks.close(end);
        let progress = self.progress(state);
        let last = Last { progress, profile: self.physical(), stages: self.stages_until(Some(end)) };
        // The plan is dropped outside the lock: it may hold much.
        let _plan = std::mem::replace(&mut *self.source.lock(), Source::Ended(Box::new(last)));
    }

    /// The plans, and what the operators of the physical one did so far.
    pub(super) fn profile(&self) -> Profile {
        Profile { plan: self.logical.get().cloned().unwrap_or_default(), profile: self.physical() }
    }

    fn physical(&self) -> String {
        let profile = match &*self.source.lock() {
            Source::None => return String::new(),
            Source::Ended(last) => return last.profile.clone(),
            Source::Running { plan, .. } => {
                return DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(true).to_string();
            }
            Source::Elsewhere { profile, .. } => Arc::clone(profile),
        };
        // Not ours, so not under our lock.
        profile()
    }

    /// Its stages and tasks.
    pub(super) fn stages(&self) -> Stages {
        self.stages_until(None)
    }

    fn stages_until(&self, end: Option<TaskState>) -> Stages {
        match &*self.source.lock() {
            Source::Running { stages, since, .. } => {
                let found = Stages::of_plan(stages, end, self.tasks.max_tasks());
                match end {
                    Some(_) => found.ended(*since, Utc::now(), self.rows_produced.load(Ordering::Relaxed)),
                    None => found,
                }
            }
            Source::Ended(last) => last.stages.clone(),
            Source::None | Source::Elsewhere { .. } => self.tasks.now(),
        }
    }

    /// Where a runner elsewhere reports.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Counts a batch that leaves for the client.
    pub(crate) fn produced(&self, batch: &RecordBatch) {
        self.rows_produced.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        self.bytes_produced.fetch_add(batch.get_array_memory_size() as u64, Ordering::Relaxed);
    }

    pub(crate) fn bytes_produced(&self) -> u64 {
        self.bytes_produced.load(Ordering::Relaxed)
    }

    /// What the storage layer adds to.
    pub(crate) fn reads(&self) -> Arc<ReadCounter> {
        Arc::clone(&self.reads)
    }

    pub(super) fn progress(&self, state: QueryState) -> Progress {
        let mut progress = match &*self.source.lock() {
            Source::None => Progress::default(),
            Source::Ended(last) => last.progress.clone(),
            Source::Running { stages, memory, .. } => running(stages, memory),
            Source::Elsewhere { memory, .. } => {
                let (used, peak) = self.tasks.reserved();
                Progress {
                    memory_bytes: memory.used().saturating_add(used),
                    memory_peak_bytes: memory.peak().saturating_add(peak),
                    ..self.tasks.now().progress()
                }
            }
        };
        progress.rows_produced = self.rows_produced.load(Ordering::Relaxed);
        progress.bytes_produced = self.bytes_produced();
        progress.bytes_read = progress.bytes_read.max(self.reads.bytes());
        if state == QueryState::Finished {
            progress.stages_done = progress.stages_total;
            progress.partitions_done = progress.partitions_total;
            progress.fraction = Some(1.0);
            progress.memory_bytes = 0;
        }
        progress
    }
}

fn running(stages: &[Stage], memory: &AccountedPool) -> Progress {
    let mut progress = Progress {
        stages_total: stages.len() as u64,
        memory_bytes: memory.used(),
        memory_peak_bytes: memory.peak(),
        ..Progress::default()
    };
    for stage in stages {
        let done = stage.partitions_done();
        progress.partitions_total += stage.partitions;
        progress.partitions_done += done;
        progress.stages_done += u64::from(done == stage.partitions);
        let rows = stage.rows_read();
        progress.rows_read += rows;
        progress.spilled_bytes += stage.spilled_bytes();
    }
    // Only the end itself is 1.
    progress.fraction = fraction(stages).map(|fraction| fraction.min(0.99));
    progress
}

/// The part of the work that is reading; what comes between the reading and the end has the rest.
const READING: f64 = 0.9;

/// How far the stages are, each that reads counted by its rows; `None` as long as one of them does not know how much there is.
fn fraction(stages: &[Stage]) -> Option<f64> {
    let (readers, others): (Vec<&Stage>, Vec<&Stage>) = stages.iter().partition(|stage| !stage.leaves.is_empty());
    let all_known = readers.iter().all(|stage| stage.expected_rows.is_some());
    let mut read = Average::default();
    for stage in readers {
        let rows = stage.expected_rows.filter(|_| all_known).unwrap_or(1);
        read.add(stage.fraction_read()?, rows.max(1) as f64);
    }
    let mut rest = Average::default();
    for stage in others {
        rest.add(stage.fraction_of_partitions(), 1.0);
    }
    match (read.value(), rest.value()) {
        (Some(read), Some(rest)) => Some(READING * read + (1.0 - READING) * rest),
        (read, rest) => read.or(rest),
    }
}

#[derive(Debug, Default)]
struct Average {
    sum: f64,
    weight: f64,
}

impl Average {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use futures::StreamExt;

    use super::*;

    async fn stages_of(sql: &str) -> (SessionContext, Vec<Stage>) {
        let context = SessionContext::new();
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let stages = stages(&plan);
        (context, stages)
    }

    #[tokio::test]
    async fn generated_rows_have_a_total() {
        for (sql, rows) in [
            ("SELECT * FROM generate_series(1, 100)", Some(100)),
            ("SELECT * FROM generate_series(9, 1, -2)", Some(5)),
            ("SELECT * FROM generate_series(5, 1)", Some(0)),
            (
                "SELECT * FROM generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-03', INTERVAL '1' DAY)",
                Some(3),
            ),
            ("SELECT * FROM generate_series(-9223372036854775807, 9223372036854775807)", Some(u64::MAX)),
            ("SELECT * FROM generate_series(NULL, 1)", None),
        ] {
            let (_, stages) = stages_of(sql).await;
            assert_eq!(stages.last().unwrap().expected_rows, rows, "{sql}");
        }
    }

    #[tokio::test]
    async fn the_fraction_rises_with_the_rows() {
        let (context, stages) =
            stages_of("SELECT value % 7, count(*) FROM generate_series(1, 100000) GROUP BY 1 ORDER BY 2").await;
        assert_eq!(fraction(&stages), Some(0.0));
        let leaf = stages.iter().find_map(|stage| stage.leaves.first()).unwrap();
        let mut rows = leaf.execute(0, context.task_ctx()).unwrap();
        let mut last = 0.0;
        while let Some(batch) = rows.next().await {
            batch.unwrap();
            let now = fraction(&stages).unwrap();
            assert!(now > last && now <= 1.0, "{now} after {last}");
            last = now;
        }
        assert!((last - READING).abs() < 1e-9, "{last}");
    }

    #[tokio::test]
    async fn without_a_total_there_is_no_fraction() {
        let sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r";
        let (_, stages) = stages_of(sql).await;
        assert_eq!(fraction(&stages), None);
    }
}
