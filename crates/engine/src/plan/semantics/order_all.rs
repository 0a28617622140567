//! `ORDER BY ALL`: by all columns of the result, from left to right.

use datafusion::sql::sqlparser::ast::{
    Expr, OrderByExpr, OrderByKind, OrderByOptions, Query, SelectItem, SetExpr, Value,
};

use crate::error::{Error, Result};

/// Writes it as the positions of the columns, or leaves it to DataFusion where a star stands for some.
///
/// # Errors
/// `Unsupported` beside a star, which DataFusion orders by only if all the rest are columns.
pub(super) fn positioned(query: &mut Query) -> Result<()> {
    let Some(order_by) = &mut query.order_by else { return Ok(()) };
    let OrderByKind::Expressions(keys) = &order_by.kind else { return Ok(()) };
    let [OrderByExpr { expr: Expr::Identifier(word), options, .. }] = keys.as_slice() else { return Ok(()) };
    if word.quote_style.is_some() || !word.value.eq_ignore_ascii_case("all") {
        return Ok(());
    }
    let options = *options;
    match width(&query.body) {
        Some(width) => order_by.kind = OrderByKind::Expressions((1..=width).map(|at| position(at, options)).collect()),
        None if matches!(query.body.as_ref(), SetExpr::Select(select) if select.projection.iter().all(is_shown)) => {
            order_by.kind = OrderByKind::All(options);
        }
        None => {
            return Err(Error::unsupported("ORDER BY ALL is not supported beside *, except with columns alone")
                .hint("name the columns"));
        }
    }
    Ok(())
}

fn position(at: usize, options: OrderByOptions) -> OrderByExpr {
    let expr = Expr::value(Value::Number(at.to_string(), false));
    OrderByExpr { expr, options, with_fill: None }
}

/// The columns of the result, if no star stands for some of them.
fn width(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let is_one =
                |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
            select.projection.iter().all(is_one).then_some(select.projection.len())
        }
        SetExpr::Query(query) => width(&query.body),
        SetExpr::SetOperation { left, .. } => width(left),
        SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        _ => None,
    }
}

fn is_shown(item: &SelectItem) -> bool {
    match item {
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => true,
        SelectItem::UnnamedExpr(expr) => matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
        _ => false,
    }
}
