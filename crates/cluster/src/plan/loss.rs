//! What a plan would lose on its way to the workers, as far as only the logical plan tells.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Whether everything that the plan means gets to the workers; otherwise the reason.
pub(super) fn check(plan: &LogicalPlan) -> std::result::Result<(), String> {
    let mut lost = None;
    let searched = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|expression| {
                lost = lost.or(loss(expression));
                Ok(if lost.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        })
    });
    match (lost, searched) {
        (Some(reason), _) => Err(reason.to_owned()),
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => Err(error.strip_backtrace()),
    }
}

fn loss(expression: &Expr) -> Option<&'static str> {
    match expression {
        // Bytes for the physical expression have no place for it.
        Expr::WindowFunction(window) if window.params.filter.is_some() => {
            Some("it filters what a window function sees")
        }
        Expr::WindowFunction(window) if ignores_nulls(window) => Some("a window function of it ignores nulls"),
        // It becomes a join there, which does not mind.
        Expr::ScalarSubquery(query) if query.subquery.max_rows().is_none_or(|rows| rows > 1) => {
            Some("a subquery stands for one value, and may have more than one row")
        }
        _ => None,
    }
}

fn ignores_nulls(window: &WindowFunction) -> bool {
    window.params.null_treatment == Some(NullTreatment::IgnoreNulls)
}
