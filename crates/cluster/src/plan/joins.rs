//! Joins for tasks that share nothing.
//!
//! In one process, the partitions of a join share the side that is collected, and mark in it which rows found a partner. In a
//! cluster each task has a copy of that side, and none knows what the others found. So only those joins collect a side whose
//! rows all come from the other one; the rest exchange both sides by their keys, or are computed by one task.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};

/// The name of the rule that decides which sides are collected.
const SELECTION: &str = "join_selection";

/// Whether every row of the join comes from a row of its right side, so that each partition of that side can be joined alone.
pub(super) fn comes_from_right(join: JoinType) -> bool {
    matches!(join, JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark)
}

/// Whether every row of the join comes from a row of its left side.
pub(super) fn comes_from_left(join: JoinType) -> bool {
    comes_from_right(join.swap())
}

/// The rules, with this one where sides have been chosen and nothing has been exchanged yet.
pub(super) fn among(
    rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>],
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut all = Vec::with_capacity(rules.len() + 1);
    for rule in rules {
        all.push(Arc::clone(rule));
        if rule.name() == SELECTION {
            all.push(Arc::new(ExchangeBoth));
        }
    }
    all
}

/// Joins of `NOT IN`, to which a null on one side means something for all rows of the other, see both sides whole.
pub(super) fn whole(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let whole = plan.transform_up(|node| {
        let Some(join) = node.downcast_ref::<HashJoinExec>().filter(|join| join.null_aware) else {
            return Ok(Transformed::no(node));
        };
        if join.right().output_partitioning().partition_count() == 1 {
            return Ok(Transformed::no(node));
        }
        let right = Arc::new(CoalescePartitionsExec::new(Arc::clone(join.right())));
        let children = vec![Arc::clone(join.left()), right as _];
        Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
    });
    whole.data()
}

/// Exchanges both sides of joins of which one must not be collected.
#[derive(Debug)]
struct ExchangeBoth;

impl PhysicalOptimizerRule for ExchangeBoth {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let exchanged = plan.transform_up(|node| {
            let Some(join) = node.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(node)) };
            let collects = *join.partition_mode() == PartitionMode::CollectLeft;
            if !collects || join.null_aware || comes_from_right(*join.join_type()) {
                return Ok(Transformed::no(node));
            }
            let join = join.builder().with_partition_mode(PartitionMode::Partitioned).build()?;
            Ok(Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>))
        });
        exchanged.data()
    }

    fn name(&self) -> &str {
        "exchange_both"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
