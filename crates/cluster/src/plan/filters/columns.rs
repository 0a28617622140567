//! Where a column of an operator comes from, as far as rows can be dropped there by what is in it.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{JoinSide, JoinType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::joins::utils::build_join_schema;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr};

use crate::plan::joins::{comes_from_left, comes_from_right};

/// Whether equal keys of this type are equal in their bits, so that they have one hash. Zero has two signs among floats.
pub(super) fn is_key_type(of: &DataType) -> bool {
    of.is_integer()
        || of.is_temporal()
        || of.is_decimal()
        || of.is_string()
        || matches!(of, DataType::Boolean | DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// Whether what is below is in another stage.
pub(super) fn is_exchange(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
        return matches!(exchange.partitioning(), Partitioning::Hash(..));
    }
    let coalesced = plan.downcast_ref::<CoalescePartitionsExec>();
    coalesced.is_some_and(|one| one.fetch().is_none() && one.input().output_partitioning().partition_count() > 1)
}

/// Where the rows of an operator come from that have the same key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Below {
    /// The inputs, by number, and the columns of them that hold the key: if their rows are dropped by it, then no rows of the
    /// operator are missing but those that have it too.
    pub(super) inputs: Vec<(usize, usize)>,
    /// Whether the rows of a key that is only dropped from a part of the inputs come out with other values.
    pub(super) whole: bool,
}

/// Where the rows with a key in this column come from, if that is known.
pub(super) fn below(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<Below> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return sides(join, column);
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return grouped(aggregate, column).map(|column| Below { inputs: vec![(0, column)], whole: true });
    }
    let column = if is_exchange(plan) || plan.is::<CooperativeExec>() {
        Some(column)
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
        sort.fetch().is_none().then_some(column)
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let projection = filter.projection().as_deref();
        filter.fetch().is_none().then(|| projected(projection, column)).flatten()
    } else {
        let projection = plan.downcast_ref::<ProjectionExec>()?;
        index(&projection.expr().get(column)?.expr)
    };
    column.map(|column| Below { inputs: vec![(0, column)], whole: false })
}

fn index(expression: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expression.downcast_ref::<Column>().map(Column::index)
}

fn projected(projection: Option<&[usize]>, column: usize) -> Option<usize> {
    projection.map_or(Some(column), |projection| projection.get(column).copied())
}

/// The column of the input, if groups are made by it.
fn grouped(aggregate: &AggregateExec, column: usize) -> Option<usize> {
    let keys = aggregate.group_expr();
    // With grouping sets, a key is null in groups of rows where it is not.
    if !keys.is_single() || aggregate.limit_options().is_some() {
        return None;
    }
    index(&keys.expr().get(column)?.0)
}

/// The side that the column comes from; and the other one if it is joined by the column, and is only there to be joined.
fn sides(join: &HashJoinExec, column: usize) -> Option<Below> {
    use JoinType::{Inner, LeftSemi, RightSemi};
    let of = *join.join_type();
    let (_, columns) = build_join_schema(&join.left().schema(), &join.right().schema(), &of);
    let from = columns.get(projected(join.projection.as_deref(), column)?)?;
    let side = match from.side {
        JoinSide::Left if comes_from_left(of) => 0,
        JoinSide::Right if comes_from_right(of) => 1,
        _ => return None,
    };
    if join.null_aware {
        return None;
    }
    let partner = join.on().iter().find_map(|(left, right)| {
        let (own, other) = if side == 0 { (left, right) } else { (right, left) };
        (index(own)? == from.index).then(|| index(other).map(|other| (1 - side, other))).flatten()
    });
    let partner = partner.filter(|_| matches!(of, Inner | LeftSemi | RightSemi));
    Some(Below { inputs: std::iter::once((side, from.index)).chain(partner).collect(), whole: false })
}
