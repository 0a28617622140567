//! What the scheduler must not change any more.
//!
//! It decides by the sizes of the sides of a join whether to collect one of them and which, when it cuts the plan and again when
//! it has run the stages below; rows that came in the order of one side then come in that of the other. So it is told sizes
//! with which it does as was planned: a side that is collected is small, and nothing is known of any other.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    Partitioning, PhysicalExpr, PlanProperties, replace_children_if_necessary,
};

use super::joins::comes_from_right;
use super::leaves::is_in_memory;

/// The plan, with what the scheduler would change fixed.
pub(super) fn fix(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let fixed = plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            let left = match join.partition_mode() {
                PartitionMode::CollectLeft => collected(join.left()),
                _ => side(join.left(), Size::Unknown),
            };
            let children = vec![left, side(join.right(), Size::Unknown)];
            return Ok(Transformed::yes(replace_children_if_necessary(node, children)?));
        }
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            // What found no partner is known only to one who saw all of the right side.
            let alone =
                !comes_from_right(*join.join_type()) && join.right().output_partitioning().partition_count() > 1;
            let right = if alone {
                let coalesced: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::clone(join.right())));
                side(&coalesced, Size::Whole)
            } else {
                side(join.right(), Size::Unknown)
            };
            let children = vec![Arc::clone(join.left()), right];
            return Ok(Transformed::yes(replace_children_if_necessary(node, children)?));
        }
        if let Some(join) = node.downcast_ref::<CrossJoinExec>() {
            let children = vec![Arc::clone(join.left()), side(join.right(), Size::Unknown)];
            return Ok(Transformed::yes(replace_children_if_necessary(node, children)?));
        }
        if node.is::<UnionExec>() {
            let children = node.children().into_iter();
            let children =
                children.map(|child| if sorts_each(child) { side(child, Size::Apart) } else { Arc::clone(child) });
            let children = children.collect();
            return Ok(Transformed::yes(replace_children_if_necessary(node, children)?));
        }
        // When rows in memory are shared out to tasks, the limit of their source is forgotten.
        match node.downcast_ref::<DataSourceExec>().and_then(|_| node.fetch()) {
            Some(fetch) if is_in_memory(node.as_ref()) => {
                Ok(Transformed::yes(Arc::new(LocalLimitExec::new(node, fetch)) as Arc<dyn ExecutionPlan>))
            }
            _ => Ok(Transformed::no(node)),
        }
    });
    fixed.data()
}

/// The side that a join collects. The scheduler makes a stage of what is below the operator that brings its partitions together.
fn collected(left: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match left.downcast_ref::<CoalescePartitionsExec>() {
        Some(coalesced) if coalesced.fetch().is_none() => {
            Arc::new(CoalescePartitionsExec::new(side(coalesced.input(), Size::Small)))
        }
        _ => side(left, Size::Small),
    }
}

/// Whether some of it sorts each partition for itself; DataFusion makes no such operator where there is no partition.
fn sorts_each(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let here = plan.downcast_ref::<SortExec>().is_some_and(SortExec::preserve_partitioning);
    here || plan.children().into_iter().any(sorts_each)
}

fn side(input: &Arc<dyn ExecutionPlan>, size: Size) -> Arc<dyn ExecutionPlan> {
    let properties = Arc::clone(input.properties());
    let properties = if size == Size::Apart && properties.partitioning.partition_count() == 0 {
        Arc::new(PlanProperties::clone(&properties).with_partitioning(Partitioning::UnknownPartitioning(1)))
    } else {
        properties
    };
    Arc::new(FixedExec { properties, input: Arc::clone(input), size })
}

/// What the scheduler is told of the size of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Unknown,
    /// Unknown, and it has to be in one partition.
    Whole,
    /// Unknown, and it can not be computed in no partition, so that a union takes it from a stage of its own.
    Apart,
}

/// A side of a join, or a branch of a union. It never gets to a worker: what is decoded there is its input.
#[derive(Debug)]
pub(crate) struct FixedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    size: Size,
}

impl DisplayAs for FixedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedExec")
    }
}

impl ExecutionPlan for FixedExec {
    fn name(&self) -> &'static str {
        "FixedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![match self.size {
            Size::Whole => Distribution::SinglePartition,
            Size::Small | Size::Unknown | Size::Apart => Distribution::UnspecifiedDistribution,
        }])
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(side(&input, self.size))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if self.size == Size::Small {
            statistics.num_rows = Precision::Inexact(1);
            statistics.total_byte_size = Precision::Inexact(1);
        }
        Ok(Arc::new(statistics))
    }
}
