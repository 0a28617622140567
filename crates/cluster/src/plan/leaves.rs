//! Which leaves of plans workers can compute.
//!
//! A task computes some partitions of a stage. The scheduler cuts the leaves of the plan down to them, and knows how for a few
//! kinds of leaves only: any other would be read whole by every task, and its rows would count several times.

use std::any::Any;
use std::sync::Arc;

use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Whether the leaves of the plan can be computed by workers; otherwise the reason.
pub(super) fn check(plan: &Arc<dyn ExecutionPlan>) -> Result<(), String> {
    if plan.is::<DataSinkExec>() {
        return Err("it writes".into());
    }
    if plan.is::<ExplainExec>() || plan.is::<AnalyzeExec>() {
        return Err("it explains".into());
    }
    if plan.is::<RecursiveQueryExec>() {
        return Err("each step of a recursive query needs the rows of the one before".into());
    }
    let children = plan.children();
    if children.is_empty() {
        return leaf(plan.as_ref());
    }
    children.into_iter().try_for_each(check)
}

/// Whether it scans rows that this process holds in memory.
pub(super) fn is_in_memory(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<DataSourceExec>().is_some_and(|scan| {
        let source: &dyn Any = scan.data_source().as_ref();
        source.is::<MemorySourceConfig>()
    })
}

fn leaf(plan: &dyn ExecutionPlan) -> Result<(), String> {
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let source: &dyn Any = scan.data_source().as_ref();
        return match source.downcast_ref::<FileScanConfig>() {
            Some(_) => Ok(()),
            None if is_in_memory(plan) => Ok(()),
            None => Err("it reads a source that can not be cut into tasks".into()),
        };
    }
    if plan.is::<StreamingTableExec>() {
        return Err("it reads rows that only this server has".into());
    }
    let generated = plan.is::<PlaceholderRowExec>() || plan.is::<EmptyExec>() || plan.is::<LazyMemoryExec>();
    if !generated {
        return Err(format!("{} can not be cut into tasks", plan.name()));
    }
    if plan.is::<LazyMemoryExec>() && plan.schema().fields().is_empty() {
        return Err("it counts generated rows, which come to workers with their columns".into());
    }
    if plan.output_partitioning().partition_count() > 1 {
        return Err(format!("{} with more than one partition can not be cut into tasks", plan.name()));
    }
    Ok(())
}
