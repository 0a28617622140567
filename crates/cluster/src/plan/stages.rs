//! Whether the stages of a plan can be computed each for itself, some partitions by one task and some by another.

use std::sync::Arc;

use ballista_core::execution_plans::{ShuffleWriter, UnresolvedShuffleExec};
use ballista_scheduler::planner::{DefaultDistributedPlanner, DistributedPlanner};
use datafusion::common::config::ConfigOptions;
use datafusion::physical_plan::ChildSatisfactionOptions;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::joins::comes_from_right;

/// The stages that the scheduler cuts a plan into, the last one last.
///
/// # Errors
/// The reason why it can not.
pub(crate) fn stages(
    plan: &Arc<dyn ExecutionPlan>,
    options: &ConfigOptions,
) -> Result<Vec<Arc<dyn ShuffleWriter>>, String> {
    let mut planner = DefaultDistributedPlanner::new();
    let stages = planner.plan_query_stages(&"plan".into(), Arc::clone(plan), options);
    stages.map_err(|error| format!("it can not be cut into stages: {error}"))
}

/// Whether each stage can be computed as it is; otherwise the reason.
pub(super) fn check(plan: &Arc<dyn ExecutionPlan>, options: &ConfigOptions) -> Result<(), String> {
    stages(plan, options)?.iter().try_for_each(|writer| writer.children().into_iter().try_for_each(check_stage))
}

fn check_stage(node: &Arc<dyn ExecutionPlan>) -> Result<(), String> {
    if node.is::<RepartitionExec>() {
        return Err("rows would be exchanged within a stage".to_owned());
    }
    if shares_a_side(node) {
        return Err(format!("its {} has to see all rows at one place", node.name()));
    }
    check_inputs(node).map_err(|error| format!("{} can not be computed after a stage: {error}", node.name()))?;
    node.children().into_iter().try_for_each(check_stage)
}

/// Whether partitions that may be computed by different tasks would have to know of each other.
fn shares_a_side(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        let collects = *join.partition_mode() == PartitionMode::CollectLeft;
        return (join.null_aware || collects && !comes_from_right(*join.join_type()))
            && join.right().output_partitioning().partition_count() > 1;
    }
    node.downcast_ref::<NestedLoopJoinExec>().is_some_and(|join| {
        !comes_from_right(*join.join_type()) && join.right().output_partitioning().partition_count() > 1
    })
}

/// Whether the rows of each input come in the order and in the partitions that the operator needs.
fn check_inputs(node: &Arc<dyn ExecutionPlan>) -> Result<(), String> {
    let children = node.children();
    // The partitions of the stage below are written and read in their order, which the operator in their place can not tell.
    let merges = node.is::<SortPreservingMergeExec>();
    let known = |child: &Arc<dyn ExecutionPlan>| !(merges && child.is::<UnresolvedShuffleExec>());
    let distributions = node.input_distribution_requirements();
    let options = || ChildSatisfactionOptions::new().with_allow_subset(true);
    for ((at, child), order) in children.into_iter().enumerate().zip(node.required_input_ordering()) {
        if let Some(order) = order.filter(|_| known(child)) {
            let ordered = child.equivalence_properties().ordering_satisfy_requirement(order.into_single());
            if !ordered.map_err(|error| error.strip_backtrace())? {
                return Err("its input has lost its order".to_owned());
            }
        }
        let placed = distributions.child_satisfaction(at, child.as_ref(), options());
        if !placed.map_err(|error| error.strip_backtrace())?.is_satisfied() {
            return Err("its input is not partitioned as it needs".to_owned());
        }
    }
    Ok(())
}
