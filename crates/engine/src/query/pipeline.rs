//! The stages of a plan that runs in this process, read from the metrics that its operators keep anyway.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::functions_table::generate_series::{GenericSeriesState, TimestampValue};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::metrics::{Metric, MetricValue, MetricsSet};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::{StageInfo, TaskInfo, TaskState};

/// A pipeline: the part of a plan between two exchanges, whose partitions run independently.
#[derive(Debug)]
pub(super) struct Stage {
    root: Arc<dyn ExecutionPlan>,
    pub(super) partitions: u64,
    pub(super) leaves: Vec<Arc<dyn ExecutionPlan>>,
    /// Rows that the leaves are expected to produce, if their statistics tell.
    pub(super) expected_rows: Option<u64>,
}

impl Stage {
    pub(super) fn fraction_of_partitions(&self) -> f64 {
        self.partitions_done() as f64 / self.partitions.max(1) as f64
    }

    /// How far a stage that reads is; `None` if it does not know how much there is, and no partition is done yet.
    pub(super) fn fraction_read(&self) -> Option<f64> {
        let by_partitions = self.fraction_of_partitions();
        match self.expected_rows {
            Some(expected) => Some(by_partitions.max((self.rows_read() as f64 / expected.max(1) as f64).min(1.0))),
            None => (by_partitions > 0.0).then_some(by_partitions),
        }
    }

    /// Partitions whose outermost operator that keeps time has stopped its clock.
    pub(super) fn partitions_done(&self) -> u64 {
        let stopped = |metric: &&Arc<Metric>| match metric.value() {
            MetricValue::EndTimestamp(time) => time.value().is_some(),
            _ => false,
        };
        let done = self.clock().map_or(0, |metrics| metrics.iter().filter(stopped).count() as u64);
        done.min(self.partitions)
    }

    /// The metrics of the outermost operator that keeps time.
    fn clock(&self) -> Option<MetricsSet> {
        let keeps_time = |metric: &Arc<Metric>| matches!(metric.value(), MetricValue::EndTimestamp(_));
        let mut node = Arc::clone(&self.root);
        loop {
            if let Some(metrics) = node.metrics().filter(|metrics| metrics.iter().any(keeps_time)) {
                return Some(metrics);
            }
            let children = node.children();
            match children.as_slice() {
                [only] if !is_exchange(only.as_ref()) => node = Arc::clone(only),
                _ => return None,
            }
        }
    }

    pub(super) fn rows_read(&self) -> u64 {
        let rows =
            |leaf: &Arc<dyn ExecutionPlan>| leaf.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
        self.leaves.iter().map(|leaf| rows(leaf) as u64).sum()
    }

    pub(super) fn spilled_bytes(&self) -> u64 {
        let mut total = 0;
        visit_stage(&self.root, &mut |node| {
            total += node.metrics().as_ref().and_then(MetricsSet::spilled_bytes).unwrap_or(0) as u64;
        });
        total
    }

    /// The stage and its tasks, one a partition. `end` is what became of those that the metrics do not say to have ended.
    pub(super) fn report(&self, stage_id: u64, end: Option<TaskState>) -> (StageInfo, Vec<TaskInfo>) {
        let task = |partition| TaskInfo { stage_id, partition, ..TaskInfo::here() };
        let mut tasks: Vec<TaskInfo> = (0..self.partitions).map(task).collect();
        for metric in self.clock().iter().flat_map(MetricsSet::iter) {
            let Some(task) = of_partition(&mut tasks, metric) else { continue };
            match metric.value() {
                // Some operators measure a partition twice, and one of the two nothing.
                MetricValue::StartTimestamp(time) => task.started_at = task.started_at.or(time.value()),
                MetricValue::EndTimestamp(time) => task.ended_at = task.ended_at.max(time.value()),
                MetricValue::OutputRows(rows) => task.rows = task.rows.max(rows.value() as u64),
                MetricValue::OutputBytes(bytes) => task.bytes = task.bytes.max(bytes.value() as u64),
                _ => {}
            }
        }
        visit_stage(&self.root, &mut |node| add_spilled_and_read(&mut tasks, node.as_ref()));
        for task in &mut tasks {
            task.state = match (task.started_at, task.ended_at) {
                (Some(_), Some(_)) => TaskState::Finished,
                (Some(_), None) => end.unwrap_or(TaskState::Running),
                (None, _) => end.unwrap_or(TaskState::Pending),
            };
        }
        let stage = StageInfo { stage_id, partitions: self.partitions, plan: self.text(), ..StageInfo::of(&tasks) };
        (stage, tasks)
    }

    /// Its operators, and the exchanges that it reads from.
    fn text(&self) -> String {
        let mut text = String::new();
        describe(&self.root, 0, &mut text);
        text
    }
}

/// The task that a metric belongs to.
fn of_partition<'a>(tasks: &'a mut [TaskInfo], metric: &Metric) -> Option<&'a mut TaskInfo> {
    // An operator below a union counts its partitions by itself.
    let partition = metric.partition()?.checked_rem(tasks.len())?;
    tasks.get_mut(partition)
}

fn add_spilled_and_read(tasks: &mut [TaskInfo], node: &dyn ExecutionPlan) {
    let is_leaf = node.children().is_empty();
    for metric in node.metrics().iter().flat_map(MetricsSet::iter) {
        let Some(task) = of_partition(tasks, metric) else { continue };
        match metric.value() {
            MetricValue::SpilledBytes(bytes) => task.spilled += bytes.value() as u64,
            MetricValue::OutputRows(rows) if is_leaf => task.rows_read += rows.value() as u64,
            MetricValue::Count { name, count } if is_leaf && name == "bytes_scanned" => {
                task.bytes_read += count.value() as u64;
            }
            _ => {}
        }
    }
}

fn describe(node: &Arc<dyn ExecutionPlan>, depth: usize, text: &mut String) {
    text.push_str(&"  ".repeat(depth));
    text.push_str(&DisplayableExecutionPlan::new(node.as_ref()).one_line().to_string());
    if depth > 0 && is_exchange(node.as_ref()) {
        return;
    }
    for child in node.children() {
        describe(child, depth + 1, text);
    }
}

/// Cuts a plan at its exchanges; the last stage to end comes first.
pub(super) fn stages(plan: &Arc<dyn ExecutionPlan>) -> Vec<Stage> {
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
