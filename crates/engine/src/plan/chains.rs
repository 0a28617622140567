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
            make_shallow(expr, &op);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // Columns that are found by their names depend on the order.
        if let SetExpr::SetOperation {
            op: SetOperator::Union,
            set_quantifier: quantifier @ (SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None),
            ..
        } = query.body.as_ref()
        {
            let quantifier = *quantifier;
            make_shallow(query.body.as_mut(), &quantifier);
        }
        ControlFlow::Continue(())
    }
}

/// What can be a chain: links of one kind, each with the rest of the chain at its left.
trait Chain: Sized {
    type Kind;

    /// In the place of a chain while it moves.
    fn nothing() -> Self;

    /// The left side of a link of this kind.
    fn left(&self, kind: &Self::Kind) -> Option<&Self>;

    /// Both sides of a link of this kind; anything else is the first part of the chain.
    fn split(self, kind: &Self::Kind) -> Result<(Self, Self), Self>;

    fn join(left: Self, kind: &Self::Kind, right: Self) -> Self;
}

impl Chain for Expr {
    type Kind = BinaryOperator;

    fn nothing() -> Self {
        Self::Identifier(Ident::new(""))
    }

    fn left(&self, kind: &BinaryOperator) -> Option<&Self> {
        match self {
            Self::BinaryOp { left, op, .. } if op == kind => Some(left),
            _ => None,
        }
    }

    fn split(self, kind: &BinaryOperator) -> Result<(Self, Self), Self> {
        match self {
            Self::BinaryOp { left, op, right } if op == *kind => Ok((*left, *right)),
            first => Err(first),
        }
    }

    fn join(left: Self, kind: &BinaryOperator, right: Self) -> Self {
        Self::BinaryOp { left: Box::new(left), op: kind.clone(), right: Box::new(right) }
    }
}

/// Chains of `UNION`.
impl Chain for SetExpr {
    type Kind = SetQuantifier;

    fn nothing() -> Self {
        Self::Table(Box::new(Table { table_name: None, schema_name: None }))
    }

    fn left(&self, kind: &SetQuantifier) -> Option<&Self> {
        match self {
            Self::SetOperation { left, op: SetOperator::Union, set_quantifier, .. } if set_quantifier == kind => {
                Some(left)
            }
            _ => None,
        }
    }

    fn split(self, kind: &SetQuantifier) -> Result<(Self, Self), Self> {
        match self {
            Self::SetOperation { left, op: SetOperator::Union, set_quantifier, right } if set_quantifier == *kind => {
                Ok((*left, *right))
            }
            first => Err(first),
        }
    }

    fn join(left: Self, kind: &SetQuantifier, right: Self) -> Self {
        let (left, right) = (Box::new(left), Box::new(right));
        Self::SetOperation { left, op: SetOperator::Union, set_quantifier: *kind, right }
    }
}

fn make_shallow<T: Chain>(chain: &mut T, kind: &T::Kind) {
    if length(chain, kind) > LONG {
        let whole = std::mem::replace(chain, T::nothing());
        *chain = balanced(parts(whole, kind), kind);
    }
}

fn length<T: Chain>(mut chain: &T, kind: &T::Kind) -> usize {
    let mut length = 1;
    while let Some(left) = chain.left(kind) {
        chain = left;
        length += 1;
    }
    length
}

/// What the links stand between, from left to right.
fn parts<T: Chain>(chain: T, kind: &T::Kind) -> Vec<T> {
    let mut parts = Vec::new();
    let mut rest = chain;
    let first = loop {
        match rest.split(kind) {
            Ok((left, right)) => {
                parts.push(right);
                rest = left;
            }
            Err(first) => break first,
        }
    };
    parts.push(first);
    parts.reverse();
    parts
}

fn balanced<T: Chain>(mut parts: Vec<T>, kind: &T::Kind) -> T {
    while parts.len() > 1 {
        let mut pairs = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => T::join(left, kind, right),
                None => left,
            });
        }
        parts = pairs;
    }
    parts.pop().unwrap_or_else(T::nothing)
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
