//! Filters that operators of a stage make of what they have seen, for the scans below them in the same stage: the keys of the
//! smaller side of a join, the bound of the first rows of a sort, the least and the greatest of an aggregate.
//!
//! Plans are cut into stages without them, because a scan in another process would wait for a filter that never comes
//! (<https://github.com/apache/datafusion-ballista/issues/1375>). Within a stage nothing is in the way: its task computes all
//! partitions of its plan at once, as the server alone would.

use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::ExecutionPlan;

/// The input of a stage's writer, with its dynamic filters. `options` are those that the statement was planned with.
///
/// # Errors
/// If the plan is not as operators describe themselves.
pub(super) fn connect(plan: Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let mut options = options.clone();
    // One key stands for those of joins, sorts and aggregates.
    options.set("datafusion.optimizer.enable_dynamic_filter_pushdown", "true")?;
    let connected = FilterPushdown::new_post_optimization().optimize(Arc::clone(&plan), &options)?;
    // What takes no filter gets an operator for it, and then what is measured here would be told of other operators there.
    Ok(if operators(&connected) == operators(&plan) { connected } else { plan })
}

fn operators(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.children().into_iter().map(operators).sum::<usize>() + 1
}
