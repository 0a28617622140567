//! How far a query is, read from the metrics that its plan keeps anyway: nothing is added to the hot path but two counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::functions_table::generate_series::{GenericSeriesState, TimestampValue};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use parking_lot::Mutex;

use super::{Profile, Progress, QueryState};
use crate::run::AccountedPool;
use crate::storage::ReadCounter;

/// Counts what a query does.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    rows_produced: AtomicU64,
    bytes_produced: AtomicU64,
    reads: Arc<ReadCounter>,
    logical: OnceLock<String>,
    source: Mutex<Source>,
}

#[derive(Debug, Default)]
enum Source {
    /// Not running yet.
    #[default]
    None,
    /// Running: the plan, its stages and the query's memory.
    Running { plan: Arc<dyn ExecutionPlan>, stages: Vec<Stage>, memory: Arc<AccountedPool> },
    /// Ended: the last look.
    Ended(Progress, String),
}

/// A pipeline: the part of a plan between two exchanges, whose partitions run independently.
#[derive(Debug)]
struct Stage {
    root: Arc<dyn ExecutionPlan>,
    partitions: u64,
    leaves: Vec<Arc<dyn ExecutionPlan>>,
    /// Rows that the leaves are expected to produce, if their statistics tell.
    expected_rows: Option<u64>,
}

impl Meter {
    /// Notes the optimized logical plan.
    pub(crate) fn planned(&self, logical: String) {
        // A query is planned once.
        let _ = self.logical.set(logical);
    }

    /// Begins to watch a plan.
    pub(crate) fn watch(&self, plan: &Arc<dyn ExecutionPlan>, memory: Arc<AccountedPool>) {
        *self.source.lock() = Source::Running { plan: Arc::clone(plan), stages: stages(plan), memory };
    }

    /// Looks once more and lets go of plan and memory.
    pub(super) fn stop(&self, state: QueryState) {
        let last = Source::Ended(self.progress(state), self.profile().profile);
        // The plan is dropped outside the lock: it may hold much.
        let _plan = std::mem::replace(&mut *self.source.lock(), last);
    }

    /// The plans, and what the operators of the physical one did so far.
    pub(super) fn profile(&self) -> Profile {
        let profile = match &*self.source.lock() {
            Source::None => String::new(),
            Source::Ended(_, profile) => profile.clone(),
            Source::Running { plan, .. } => {
                DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(true).to_string()
            }
        };
        Profile { plan: self.logical.get().cloned().unwrap_or_default(), profile }
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
            Source::Ended(last, _) => last.clone(),
            Source::Running { stages, memory, .. } => running(stages, memory),
        };
        progress.rows_produced = self.rows_produced.load(Ordering::Relaxed);
        progress.bytes_produced = self.bytes_produced();
        progress.bytes_read = self.reads.bytes();
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

impl Stage {
    fn fraction_of_partitions(&self) -> f64 {
        self.partitions_done() as f64 / self.partitions.max(1) as f64
    }

    /// How far a stage that reads is; `None` if it does not know how much there is, and no partition is done yet.
    fn fraction_read(&self) -> Option<f64> {
        let by_partitions = self.fraction_of_partitions();
        match self.expected_rows {
            Some(expected) => Some(by_partitions.max((self.rows_read() as f64 / expected.max(1) as f64).min(1.0))),
            None => (by_partitions > 0.0).then_some(by_partitions),
        }
    }

    /// Partitions whose outermost operator that keeps time has stopped its clock.
    fn partitions_done(&self) -> u64 {
        let mut node = Arc::clone(&self.root);
        loop {
            if let Some(metrics) = node.metrics() {
                let ends = metrics.iter().filter(|metric| matches!(metric.value(), MetricValue::EndTimestamp(_)));
                let mut known = false;
                let mut done = 0;
                for end in ends {
                    known = true;
                    if let MetricValue::EndTimestamp(time) = end.value() {
                        done += u64::from(time.value().is_some());
                    }
                }
                if known {
                    return done.min(self.partitions);
                }
            }
            let children = node.children();
            match children.as_slice() {
                [only] if !is_exchange(only.as_ref()) => node = Arc::clone(only),
                _ => return 0,
            }
        }
    }

    fn rows_read(&self) -> u64 {
        let rows =
            |leaf: &Arc<dyn ExecutionPlan>| leaf.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
        self.leaves.iter().map(|leaf| rows(leaf) as u64).sum()
    }

    fn spilled_bytes(&self) -> u64 {
        let mut total = 0;
        visit_stage(&self.root, &mut |node| {
            total += node.metrics().as_ref().and_then(MetricsSet::spilled_bytes).unwrap_or(0) as u64;
        });
        total
    }
}

/// Cuts a plan at its exchanges; the last stage to end comes first.
fn stages(plan: &Arc<dyn ExecutionPlan>) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut roots = vec![Arc::clone(plan)];
    while let Some(root) = roots.pop() {
        // An exchange at the root only hands on what its input produces.
        if is_exchange(root.as_ref()) {
            roots.extend(root.children().into_iter().map(Arc::clone));
            continue;
        }
        let mut leaves = Vec::new();
        visit_stage(&root, &mut |node| {
            if node.children().is_empty() {
                leaves.push(Arc::clone(node));
            }
            roots.extend(node.children().into_iter().filter(|child| is_exchange(child.as_ref())).map(Arc::clone));
        });
        let partitions = root.output_partitioning().partition_count() as u64;
        let expected_rows = expected_rows(&leaves);
        stages.push(Stage { root, partitions, leaves, expected_rows });
    }
    stages
}

fn expected_rows(leaves: &[Arc<dyn ExecutionPlan>]) -> Option<u64> {
    let mut total = 0;
    for leaf in leaves {
        total += match generated_rows(leaf.as_ref()) {
            Some(rows) => rows,
            None => match StatisticsContext::new().compute(leaf.as_ref(), &StatisticsArgs::new()).ok()?.num_rows {
                Precision::Exact(rows) | Precision::Inexact(rows) => rows as u64,
                Precision::Absent => return None,
            },
        };
    }
    (!leaves.is_empty()).then_some(total)
}

/// About as many rows as the node generates, if it is `generate_series` or `range`, which have no statistics.
fn generated_rows(leaf: &dyn ExecutionPlan) -> Option<u64> {
    const DAY: i64 = 86_400_000_000_000;
    let node = leaf.downcast_ref::<LazyMemoryExec>()?;
    let mut total = 0;
    for generator in node.generators() {
        let generator = generator.read();
        let generator = generator.as_any();
        let (span, step) = if let Some(series) = generator.downcast_ref::<GenericSeriesState<i64>>() {
            (i128::from(*series.end()) - i128::from(*series.start()), i128::from(*series.step()))
        } else if let Some(series) = generator.downcast_ref::<GenericSeriesState<TimestampValue>>() {
            let step = series.step();
            let days = 30 * i128::from(step.months) + i128::from(step.days);
            let span = i128::from(series.end().value()) - i128::from(series.start().value());
            (span, days * i128::from(DAY) + i128::from(step.nanoseconds))
        } else {
            return None;
        };
        let steps = span.checked_div(step).filter(|_| span.signum() * step.signum() >= 0);
        total += steps.map_or(0, |steps| u64::try_from(steps + 1).unwrap_or(u64::MAX));
    }
    Some(total)
}

fn visit_stage(node: &Arc<dyn ExecutionPlan>, visit: &mut dyn FnMut(&Arc<dyn ExecutionPlan>)) {
    visit(node);
    for child in node.children() {
        if !is_exchange(child.as_ref()) {
            visit_stage(child, visit);
        }
    }
}

fn is_exchange(node: &dyn ExecutionPlan) -> bool {
    matches!(node.name(), "RepartitionExec" | "CoalescePartitionsExec" | "SortPreservingMergeExec")
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
