//! How far a query is, read from the metrics that its plan keeps anyway: nothing is added to the hot path but two counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
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
    let mut fractions = 0.0;
    for stage in stages {
        let done = stage.partitions_done();
        progress.partitions_total += stage.partitions;
        progress.partitions_done += done;
        progress.stages_done += u64::from(done == stage.partitions);
        let rows = stage.rows_read();
        progress.rows_read += rows;
        progress.spilled_bytes += stage.spilled_bytes();
        let by_partitions = done as f64 / stage.partitions.max(1) as f64;
        let by_rows = stage.expected_rows.map_or(0.0, |expected| rows as f64 / expected.max(1) as f64);
        fractions += by_partitions.max(by_rows.min(1.0));
    }
    if !stages.is_empty() {
        // Only the end itself is 1.
        progress.fraction = Some((fractions / stages.len() as f64).min(0.99));
    }
    progress
}

impl Stage {
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
        match StatisticsContext::new().compute(leaf.as_ref(), &StatisticsArgs::new()).ok()?.num_rows {
            Precision::Exact(rows) | Precision::Inexact(rows) => total += rows as u64,
            Precision::Absent => return None,
        }
    }
    (!leaves.is_empty()).then_some(total)
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
