//! `x IN (1, NULL)` is true or unknown, and `x NOT IN (1, NULL)` false or unknown.
//!
//! DataFusion joins lists of several memberships of one expression and takes a null in them for a value like any other: of
//! `x NOT IN (1, NULL) OR x NOT IN (1, 2)` it makes `x NOT IN (1)`, which is true of 2. So a null leaves its list before.

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, and, lit, or};
use datafusion::scalar::ScalarValue;

/// The expression, with the nulls of its list beside it.
pub(super) fn apart(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::InList(membership) if membership.list.iter().any(is_null) => {
            let InList { expr, mut list, negated } = membership;
            list.retain(|member| !is_null(member));
            let unknown = lit(ScalarValue::Boolean(None));
            if list.is_empty() {
                return Ok(Transformed::yes(unknown));
            }
            let rest = Expr::InList(InList { expr, list, negated });
            Ok(Transformed::yes(if negated { and(rest, unknown) } else { or(rest, unknown) }))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_null(member: &Expr) -> bool {
    match member {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(cast) => is_null(&cast.expr),
        _ => false,
    }
}
