//! Long chains of `AND`, `OR` and `UNION`, made shallow: `((a OR b) OR c) OR d` means the same as `(a OR b) OR (c OR d)`, in
//! the same order, and what planning does for each level of a tree it then does for few.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, SetExpr, SetOperator, SetQuantifier, Table, VisitorMut,
};

use super::parameters::visit_inner;

/// Shorter chains stay as they are; the sides of balanced ones are shorter.
const LONG: usize = 32;

/// Balances the chains of a statement.
pub(super) fn balance(statement: &mut Statement) {
    // The visitor never breaks off.
    let _ = visit_inner(statement, &mut Chains);
}

struct Chains;

impl VisitorMut for Chains {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expr {
            let op = op.clone();
            if length(expr, &op) > LONG {
                let chain = std::mem::replace(expr, nothing());
                let join =
                    |left, right| Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) };
                *expr = balanced(terms(chain, &op), join).unwrap_or_else(nothing);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let body = query.body.as_mut();
        if let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, .. } = body {
            let quantifier = *set_quantifier;
            // Columns that are found by their names depend on the order.
            let by_place = matches!(quantifier, SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None);
            if by_place && united(body, quantifier) > LONG {
                let chain = std::mem::replace(body, no_rows());
                *body = balanced(parts(chain, quantifier), |left, right| SetExpr::SetOperation {
                    left: Box::new(left),
                    op: SetOperator::Union,
                    set_quantifier: quantifier,
                    right: Box::new(right),
                })
                .unwrap_or_else(no_rows);
            }
        }
        ControlFlow::Continue(())
    }
}

/// In the place of an expression while it moves.
fn nothing() -> Expr {
    Expr::Identifier(Ident::new(""))
}

fn length(mut chain: &Expr, operator: &BinaryOperator) -> usize {
    let mut length = 1;
    while let Expr::BinaryOp { left, op, .. } = chain
        && op == operator
    {
        chain = left;
        length += 1;
    }
    length
}

/// What the operator stands between, from left to right.
fn terms(chain: Expr, operator: &BinaryOperator) -> Vec<Expr> {
    let mut terms = Vec::new();
    let mut rest = chain;
    rest = loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == *operator => {
                terms.push(*right);
                rest = *left;
            }
            first => break first,
        }
    };
    terms.push(rest);
    terms.reverse();
    terms
}

/// In the place of a query while it moves.
fn no_rows() -> SetExpr {
    SetExpr::Table(Box::new(Table { table_name: None, schema_name: None }))
}

fn united(mut chain: &SetExpr, quantifier: SetQuantifier) -> usize {
    let mut length = 1;
    while let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, .. } = chain
        && *set_quantifier == quantifier
    {
        chain = left;
        length += 1;
    }
    length
}

/// What is united, from left to right.
fn parts(chain: SetExpr, quantifier: SetQuantifier) -> Vec<SetExpr> {
    let mut parts = Vec::new();
    let mut rest = chain;
    rest = loop {
        match rest {
            SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right }
                if set_quantifier == quantifier =>
            {
                parts.push(*right);
                rest = *left;
            }
            first => break first,
        }
    };
    parts.push(rest);
    parts.reverse();
    parts
}

fn balanced<T>(mut terms: Vec<T>, join: impl Fn(T, T) -> T) -> Option<T> {
    while terms.len() > 1 {
        let mut pairs = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        terms = pairs;
    }
    terms.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::parse::{Parsed, parse};

    fn condition(text: &str) -> Expr {
        let Parsed::Sql(statement) = parse(&format!("SELECT {text}")).unwrap() else { panic!("{text}") };
        let Statement::Statement(statement) = *statement else { panic!("{text}") };
        let datafusion::sql::sqlparser::ast::Statement::Query(query) = *statement else { panic!("{text}") };
        let datafusion::sql::sqlparser::ast::SetExpr::Select(select) = *query.body else { panic!("{text}") };
        match select.projection.into_iter().next() {
            Some(datafusion::sql::sqlparser::ast::SelectItem::UnnamedExpr(expr)) => expr,
            other => panic!("{other:?}"),
        }
    }

    fn depth(expr: &Expr) -> usize {
        match expr {
            Expr::BinaryOp { left, right, .. } => 1 + depth(left).max(depth(right)),
            _ => 0,
        }
    }

    #[test]
    fn a_long_chain_becomes_shallow_and_reads_as_before() {
        for operator in [" AND ", " OR "] {
            let text = (0..3000).map(|number| format!("c{number}")).collect::<Vec<_>>().join(operator);
            let chain = condition(&text);
            assert_eq!((depth(&chain), chain.to_string()), (12, text));
        }
    }

    #[test]
    fn other_operators_and_parentheses_stay() {
        let sum = vec!["a"; 100].join(" - ");
        assert_eq!(depth(&condition(&sum)), 99);
        let mixed = vec!["a AND (b OR c)"; 100].join(" OR ");
        assert_eq!(condition(&mixed).to_string(), mixed);
    }
}
