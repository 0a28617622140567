//! Plans, metrics and failures of the cluster as text.

use std::fmt::Write;
use std::sync::Arc;

use ballista_core::serde::protobuf::operator_metric::Metric;
use ballista_core::serde::protobuf::{OperatorMetric, OperatorMetricsSet};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use tidemill_engine::{Error, Result};

use crate::join;
use crate::plan::{FixedExec, stages};

/// The names of what the first operator of a task tells besides its own: memory that the worker has reserved for the job, and the
/// most that it had.
pub(crate) const MEMORY: &str = "tidemill_memory";
pub(crate) const MEMORY_PEAK: &str = "tidemill_memory_peak";

/// Takes a value of this name out of what the first operator tells.
pub(crate) fn take_gauge(metrics: &mut [OperatorMetricsSet], name: &str) -> Option<u64> {
    let first = &mut metrics.first_mut()?.metrics;
    let value = |metric: &OperatorMetric| match &metric.metric {
        Some(Metric::Gauge(gauge)) if gauge.name == name => Some(gauge.value),
        _ => None,
    };
    let at = first.iter().position(|metric| value(metric).is_some())?;
    value(&first.remove(at))
}

/// The operators of a stage.
pub(crate) fn stage_text(plan: &Arc<dyn ExecutionPlan>) -> String {
    let plan = without_fixed(plan).unwrap_or_else(|_| Arc::clone(plan));
    DisplayableExecutionPlan::new(plan.as_ref()).indent(false).to_string()
}

/// What a task's failure says, without what only this crate reads.
pub(crate) fn failure_text(text: &str) -> String {
    join::read_fail(text).message().to_owned()
}

/// The stages that a plan is cut into, the last one first.
pub(crate) fn distributed(plan: &Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<String> {
    let stages = stages(plan, options).map_err(Error::unsupported)?;
    let mut text = String::new();
    for stage in stages.iter().rev() {
        let writer: Arc<dyn ExecutionPlan> = without_fixed(&(Arc::clone(stage) as _))?;
        let input = writer.children().first().map_or(1, |child| child.output_partitioning().partition_count());
        // Writing to a text does not fail.
        let _ = writeln!(text, "Stage {}: {input} partitions", stage.stage_id());
        let _ = write!(text, "{}", DisplayableExecutionPlan::new(writer.as_ref()).indent(false));
    }
    Ok(text)
}

/// The plan as it gets to the workers.
fn without_fixed(plan: &Arc<dyn ExecutionPlan>) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
    let without = |node: Arc<dyn ExecutionPlan>| match node.children().as_slice() {
        [input] if node.is::<FixedExec>() => Ok(Transformed::yes(Arc::clone(input))),
        _ => Ok(Transformed::no(node)),
    };
    Arc::clone(plan).transform_up(without).data()
}

/// For each operator that reports metrics, in the order of the reports, whether it scans.
pub(crate) fn scans(plan: &dyn ExecutionPlan) -> Vec<bool> {
    let own = plan.metrics().map(|_| plan.is::<DataSourceExec>());
    let children = plan.children().into_iter().flat_map(|child| scans(child.as_ref()));
    own.into_iter().chain(children).collect()
}

/// The operators, each with the sums of what all tasks measured at it.
pub(crate) fn with_metrics(plan: &dyn ExecutionPlan, metrics: &[OperatorMetricsSet]) -> String {
    let mut text = String::new();
    write_operator(plan, &mut metrics.iter(), 0, &mut text);
    text
}

fn write_operator<'a>(
    plan: &dyn ExecutionPlan,
    metrics: &mut impl Iterator<Item = &'a OperatorMetricsSet>,
    depth: usize,
    text: &mut String,
) {
    let line = DisplayableExecutionPlan::new(plan).one_line().to_string();
    // Workers report in this order, and nothing for operators that measure nothing.
    let measured = plan.metrics().and_then(|_| metrics.next());
    let measured: Option<MetricsSet> = measured.and_then(|set| set.clone().try_into().ok());
    let _ = match measured {
        Some(set) => {
            let set = set.aggregate_by_name().sorted_for_display().timestamps_removed();
            writeln!(text, "{:1$}{2}, metrics=[{set}]", "", depth * 2, line.trim_end())
        }
        None => writeln!(text, "{:1$}{2}", "", depth * 2, line.trim_end()),
    };
    for child in plan.children() {
        write_operator(child.as_ref(), metrics, depth + 1, text);
    }
}

/// What the partitions of a task measured at an operator, as one value of each name.
pub(crate) fn sum_metrics(set: &OperatorMetricsSet) -> OperatorMetricsSet {
    let mut sums = OperatorMetricsSet::default();
    add_metrics(&mut sums, set);
    sums
}

/// Adds what one task measured at an operator to what others did, so that there is one value of each name.
pub(crate) fn add_metrics(all: &mut OperatorMetricsSet, new: &OperatorMetricsSet) {
    for metric in new.metrics.iter().filter_map(|metric| metric.metric.as_ref()) {
        let mut known = all.metrics.iter_mut().filter_map(|known| known.metric.as_mut());
        if !known.any(|known| add(known, metric)) {
            all.metrics.push(OperatorMetric { partition: None, metric: Some(metric.clone()) });
        }
    }
}

/// Adds a value to another of the same name; whether it is one.
fn add(known: &mut Metric, new: &Metric) -> bool {
    match (known, new) {
        (Metric::OutputRows(known), Metric::OutputRows(new))
        | (Metric::ElapseTime(known), Metric::ElapseTime(new))
        | (Metric::SpillCount(known), Metric::SpillCount(new))
        | (Metric::SpilledBytes(known), Metric::SpilledBytes(new))
        | (Metric::CurrentMemoryUsage(known), Metric::CurrentMemoryUsage(new))
        | (Metric::SpilledRows(known), Metric::SpilledRows(new))
        | (Metric::OutputBytes(known), Metric::OutputBytes(new))
        | (Metric::OutputBatches(known), Metric::OutputBatches(new)) => *known += new,
        (Metric::StartTimestamp(known), Metric::StartTimestamp(new)) => *known = (*known).min(*new),
        (Metric::EndTimestamp(known), Metric::EndTimestamp(new)) => *known = (*known).max(*new),
        (Metric::Count(known), Metric::Count(new)) if known.name == new.name => known.value += new.value,
        (Metric::Gauge(known), Metric::Gauge(new)) if known.name == new.name => known.value += new.value,
        (Metric::Time(known), Metric::Time(new)) if known.name == new.name => known.value += new.value,
        (Metric::PruningMetrics(known), Metric::PruningMetrics(new)) if known.name == new.name => {
            known.pruned += new.pruned;
            known.matched += new.matched;
        }
        (Metric::Ratio(known), Metric::Ratio(new)) if known.name == new.name => {
            known.part += new.part;
            known.total += new.total;
        }
        _ => return false,
    }
    true
}
