//! Parameters in the rows of `VALUES`.
//!
//! DataFusion casts a row's parameter to what the other rows have, so that 2.5 beside `VALUES (1)` would be 3.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::error::Result;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, VisitorMut};

use super::{placeholder, visit_inner};

/// The parameters that are items of rows, without a cast of the user's.
pub(in crate::plan) fn bare_in_rows(statement: &mut SqlStatement) -> HashSet<String> {
    let mut bare = Bare(HashSet::new());
    // The visitor never breaks off.
    let _ = visit_inner(statement, &mut bare);
    bare.0
}

struct Bare(HashSet<String>);

impl VisitorMut for Bare {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Values(values) = query.body.as_mut() {
            let items = values.rows.iter_mut().flat_map(|row| row.content.iter_mut());
            self.0.extend(items.filter_map(|item| placeholder(item).cloned()));
        }
        ControlFlow::Continue(())
    }
}

/// Has these parameters expect the types of their columns, and none cast to them: a value of another type decides with
/// those of the other rows what the column is.
pub(in crate::plan) fn type_rows(plan: LogicalPlan, bare: &HashSet<String>) -> Result<LogicalPlan> {
    if bare.is_empty() {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Values(mut values) = node else { return Ok(Transformed::no(node)) };
        for item in values.values.iter_mut().flatten() {
            if let Expr::Cast(Cast { expr, field }) = item
                && let Expr::Placeholder(parameter) = expr.as_mut()
                && parameter.field.is_none()
                && bare.contains(&parameter.id)
            {
                parameter.field = Some(Arc::new(field.as_ref().clone().with_nullable(true)));
                *item = std::mem::take(expr.as_mut());
            }
        }
        Ok(Transformed::yes(LogicalPlan::Values(values)))
    })
    .data()
}
