//! `EXCEPT ALL` and `INTERSECT ALL` count copies: a row that stands three times on the left and once on the right is left
//! twice, or found once. DataFusion plans them as joins that do not count.
//!
//! So the copies of each row are numbered on both sides, and the numbers are joined too.

use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Distinct, Expr, ExprFunctionExt, Join, JoinType, LogicalPlan, LogicalPlanBuilder};

/// A set operation that counts copies, as a join that does.
pub(super) fn counted(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Join(join) if counts_copies(&join) => Ok(Transformed::yes(numbered(join)?)),
        other => Ok(Transformed::no(other)),
    }
}

/// Before the optimizer, only set operations join with equal nulls; those without `ALL` make the left side distinct first,
/// and the left side of a rewritten one is a window.
fn counts_copies(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(*join.left, LogicalPlan::Distinct(Distinct::All(_)) | LogicalPlan::Window(_))
}

fn numbered(join: Join) -> Result<LogicalPlan> {
    let columns = join.left.schema().columns();
    let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
    let (left, left_number) = with_number(join.left, left_keys)?;
    let (right, right_number) = with_number(join.right, right_keys)?;
    let mut on = join.on;
    on.push((left_number, right_number));
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(columns.into_iter().map(Expr::Column))?.build()
}

/// The rows, each with the number of its copy as the last column.
fn with_number(plan: Arc<LogicalPlan>, keys: Vec<Expr>) -> Result<(LogicalPlan, Expr)> {
    let number = row_number().partition_by(keys).build()?;
    let column = Expr::Column(datafusion::common::Column::from_name(number.schema_name().to_string()));
    let plan = LogicalPlanBuilder::from(plan).window([number])?.build()?;
    Ok((plan, column))
}
