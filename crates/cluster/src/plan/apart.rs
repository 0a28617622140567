//! What the partitions of a stage have to do with each other.

use std::sync::Arc;

use ballista_core::execution_plans::ShuffleReaderExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Whether an operator of a stage brings all partitions together, so that one task has to compute all of it. It looks where the
/// scheduler looks when it cuts the plan down to the partitions of a task: down to where the stage begins or branches.
pub(crate) fn collapses(input: &Arc<dyn ExecutionPlan>) -> bool {
    if input.is::<ShuffleReaderExec>() {
        return false;
    }
    if input.output_partitioning().partition_count() == 1 {
        return true;
    }
    match input.children().as_slice() {
        [below] => collapses(below),
        _ => false,
    }
}

/// Whether each partition can be computed to its end before another one begins. Those of a join may wait for each other: for
/// the keys that all of them have seen.
pub(crate) fn are_apart(input: &Arc<dyn ExecutionPlan>) -> bool {
    let children = input.children();
    let is_apart = match children.as_slice() {
        [] | [_] => !input.is::<RepartitionExec>(),
        _ => input.is::<UnionExec>() || input.is::<InterleaveExec>(),
    };
    is_apart && children.into_iter().all(are_apart)
}
