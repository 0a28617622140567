//! A correlated subquery of `EXISTS` or `IN` that aggregates all its rows has a row also where it finds none, and one with
//! `OFFSET` skips rows for each row around it. DataFusion makes joins of them that do neither.
//!
//! `EXISTS` of an aggregation is true; the rest is refused.

use datafusion::common::not_impl_err;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, SkipType, Subquery, lit};

use super::nothing_found::has_one_row;

/// A node whose subqueries are joins that lose nothing.
pub(super) fn checked(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        let answer = expr.transform_up(answered)?;
        Ok(if answer.transformed { answer.update_data(|expr| name.restore(expr)) } else { answer })
    })
}

fn answered(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Exists(exists) if is_correlated(&exists.subquery) && has_one_row(&exists.subquery.subquery) => {
            Ok(Transformed::yes(lit(!exists.negated)))
        }
        Expr::Exists(exists) => {
            refuse_if_lost(&exists.subquery)?;
            Ok(Transformed::no(Expr::Exists(exists)))
        }
        Expr::InSubquery(membership) => {
            refuse_if_lost(&membership.subquery)?;
            Ok(Transformed::no(Expr::InSubquery(membership)))
        }
        Expr::SetComparison(comparison) => {
            refuse_if_lost(&comparison.subquery)?;
            Ok(Transformed::no(Expr::SetComparison(comparison)))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}

fn refuse_if_lost(subquery: &Subquery) -> Result<()> {
    if !is_correlated(subquery) {
        return Ok(());
    }
    let lost = subquery.subquery.exists(|node| {
        let matters = match node {
            LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
            LogicalPlan::Limit(limit) => !matches!(limit.get_skip_type(), Ok(SkipType::Literal(0))),
            _ => false,
        };
        Ok(matters && !node.all_out_ref_exprs().is_empty())
    })?;
    if lost {
        return not_impl_err!(
            "a subquery of EXISTS, IN, ANY or ALL that refers to the query around it can neither aggregate all its rows nor use OFFSET; a join with a grouped subquery says the same"
        );
    }
    Ok(())
}
