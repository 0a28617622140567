//! A stage with its tasks, and what they measured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::serde::protobuf::operator_metric::Metric;
use ballista_core::serde::protobuf::{OperatorMetricsSet, TaskStatus};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use tidemill_engine::query::{TaskInfo, TaskState};

use crate::keys::{self, FilterId};
use crate::plan::collapses;
use crate::view;

/// A stage of a job.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) text: String,
    /// Whether one task computes it all.
    whole: bool,
    /// Partitions that it has, and how many of them are in tasks.
    pub(super) partitions: usize,
    pub(super) covered: usize,
    pub(super) tasks: BTreeMap<usize, Task>,
    /// Of the operators that report metrics, those that scan.
    scans: Vec<bool>,
    /// Operators that report metrics; all tasks must report as many.
    operators: Option<usize>,
    pub(super) metrics: Vec<OperatorMetricsSet>,
    /// Runtime filters whose keys it collects.
    pub(super) collects: Vec<FilterId>,
}

/// A task of a stage, from when a worker got it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) worker: String,
    pub(super) partition: u64,
    pub(super) slots: u64,
    pub(super) state: TaskState,
    pub(super) bound: Instant,
}

impl Task {
    /// What it took so far, in time of one slot.
    pub(super) fn spent(&self) -> Duration {
        self.bound.elapsed().saturating_mul(u32::try_from(self.slots).unwrap_or(u32::MAX))
    }
}

impl Stage {
    pub(super) fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        // The outermost operator writes the output; what it reads is what the tasks are cut of.
        let input = plan.children().first().map_or(plan, |child| *child);
        Self {
            plan: Arc::clone(plan),
            text: view::stage_text(plan),
            whole: collapses(input),
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
    pub(super) fn expected_tasks(&self) -> u64 {
        let tasks = self.tasks.len() as u64;
        if self.whole {
            return 1;
        }
        let missing = self.partitions.saturating_sub(self.covered) as u64;
        let each = (self.covered as u64).checked_div(tasks).unwrap_or(1).max(1);
        tasks + missing.div_ceil(each)
    }

    pub(super) fn state(&self) -> TaskState {
        let mut states = self.tasks.values().map(|task| task.state);
        if states.clone().any(|state| state == TaskState::Failed) {
            TaskState::Failed
        } else if self.tasks.is_empty() {
            TaskState::Pending
        } else if self.covered >= self.partitions && states.all(|state| state == TaskState::Finished) {
            TaskState::Finished
        } else {
            TaskState::Running
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.tasks.values().map(|task| task.worker.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// What a task read and spilled.
    pub(super) fn read_metrics(&self, status: &TaskStatus, info: &mut TaskInfo) {
        info.rows_read = self.rows_read(status);
        for metric in status.metrics.iter().flat_map(|set| &set.metrics) {
            match &metric.metric {
                Some(Metric::SpilledBytes(bytes)) => info.spilled += bytes,
                Some(Metric::Count(count)) if count.name == "bytes_scanned" => info.bytes_read += count.value,
                _ => {}
            }
        }
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
    pub(super) fn take_metrics(&mut self, status: &mut TaskStatus) {
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

/// Rows and bytes that a task that computes has handed to its writer, which is the first of its operators.
pub(super) fn written_so_far(status: &TaskStatus) -> (u64, u64) {
    let metrics = |set: &OperatorMetricsSet| set.metrics.iter().filter_map(|metric| metric.metric.clone()).collect();
    let of_writer: Vec<Metric> = status.metrics.first().map(metrics).unwrap_or_default();
    let rows = of_writer.iter().map(|metric| match metric {
        Metric::Count(count) if count.name == "input_rows" => count.value,
        _ => 0,
    });
    let below = status.metrics.iter().skip(1).flat_map(|set| &set.metrics);
    let bytes = below.filter_map(|metric| match &metric.metric {
        Some(Metric::OutputBytes(bytes)) => Some(*bytes),
        _ => None,
    });
    (rows.sum(), bytes.take(1).sum())
}
