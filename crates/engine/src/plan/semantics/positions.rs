//! `ORDER BY 2` where the second column is computed from aggregates, such as `count(*) + 1`: DataFusion finds such a column by
//! its expression, and not by its position.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr, Value, Visit, Visitor,
};

/// What does not give the same when it is said twice.
const NOT_TWICE: [&str; 6] = ["random", "rand", "uuid", "gen_random_uuid", "nextval", "unnest"];
/// Aggregates that stand in a query without `GROUP BY`.
const AGGREGATES: [&str; 6] = ["count", "sum", "avg", "mean", "min", "max"];

/// Writes positions of computed columns of a grouped query as what computes them.
pub(super) fn expanded(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind) else {
        return;
    };
    for key in keys {
        if let Some(computed) = position(&key.expr).and_then(|at| computed(select, at)) {
            key.expr = computed.clone();
        }
    }
}

fn position(key: &Expr) -> Option<usize> {
    let Expr::Value(value) = key else { return None };
    let Value::Number(digits, _) = &value.value else { return None };
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// What computes the column, if DataFusion can not find it by its position and saying it again means the same.
fn computed(select: &Select, at: usize) -> Option<&Expr> {
    let item = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    // With DISTINCT, DataFusion takes positions alone.
    if select.distinct.is_some() || !select.projection.iter().take(at).all(item) {
        return None;
    }
    let Some(SelectItem::UnnamedExpr(expr)) = select.projection.get(at) else { return None };
    let mut parts = Parts { select, calls: false, aggregates: false };
    let once = expr.visit(&mut parts).is_break();
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
    };
    (!once && parts.calls && (grouped || parts.aggregates)).then_some(expr)
}

/// Looks into the expression of a column; breaks off at what must not be said twice.
struct Parts<'a> {
    select: &'a Select,
    calls: bool,
    aggregates: bool,
}

impl Parts<'_> {
    /// In `ORDER BY`, the name would be that of the other column.
    fn names_a_column(&self, name: &Ident) -> bool {
        let alias = |item: &SelectItem| matches!(item, SelectItem::ExprWithAlias { alias, .. } if same(alias, name));
        self.select.projection.iter().any(alias)
    }
}

impl Visitor for Parts<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) if self.names_a_column(name) => return ControlFlow::Break(()),
            Expr::Function(call) => {
                let name = call.name.to_string().to_ascii_lowercase();
                if NOT_TWICE.contains(&name.as_str()) {
                    return ControlFlow::Break(());
                }
                self.calls = true;
                self.aggregates |= call.over.is_none() && AGGREGATES.contains(&name.as_str());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn same(one: &Ident, other: &Ident) -> bool {
    one.value.eq_ignore_ascii_case(&other.value)
}
