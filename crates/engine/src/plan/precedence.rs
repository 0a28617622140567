//! Operands that the parser gives to the wrong operator.
//!
//! `IS [NOT] DISTINCT FROM` binds closer than `AND` and `OR`. The parser takes all that follows it for its right side, so that
//! `a IS DISTINCT FROM b AND c` would ask whether `a` is distinct from `b AND c`.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, UnaryOperator, VisitorMut};

use super::parameters::visit_inner;

mod operators;

/// Groups the operands of a statement as SQL does.
pub(super) fn regroup(statement: &mut Statement) {
    // The visitor never breaks off.
    let _ = visit_inner(statement, &mut Regroup);
}

struct Regroup;

impl VisitorMut for Regroup {
    type Break = ();

    /// Inner expressions are grouped already. Whatever stands in parentheses is another expression, and stays together.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        operators::settle(expr);
        let own = strength(expr);
        let Some(last) = last_operand(expr).filter(|last| strength(last) < own) else {
            return ControlFlow::Continue(());
        };
        let loose = take(last);
        let close = std::mem::replace(expr, loose);
        let mut place = expr;
        while strength(place) < own {
            let Expr::BinaryOp { left, .. } = place else { break };
            place = left;
        }
        let operand = std::mem::replace(place, close);
        if let Some(last) = last_operand(place) {
            *last = operand;
        }
        ControlFlow::Continue(())
    }
}

/// The operand behind the operator, of those that bind closer than `OR`.
fn last_operand(expr: &mut Expr) -> Option<&mut Expr> {
    match expr {
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) | Expr::BinaryOp { right, .. } => {
            Some(right)
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Some(expr),
        _ => None,
    }
}

/// How close the operator of an expression binds.
fn strength(expr: &Expr) -> u8 {
    match expr {
        Expr::BinaryOp { op, .. } => strength_of(op),
        _ => CLOSE,
    }
}

/// Of whatever binds closer than `AND`.
const CLOSE: u8 = 2;

fn strength_of(operator: &BinaryOperator) -> u8 {
    match operator {
        BinaryOperator::Or => 0,
        BinaryOperator::And => 1,
        _ => CLOSE,
    }
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Identifier(Ident::new("")))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    /// Each operator in parentheses.
    fn shown(expr: &Expr) -> String {
        match expr {
            Expr::Nested(inner) => shown(inner),
            Expr::BinaryOp { left, op, right } => format!("({} {op} {})", shown(left), shown(right)),
            Expr::IsDistinctFrom(left, right) => format!("({} <> {})", shown(left), shown(right)),
            Expr::IsNotDistinctFrom(left, right) => format!("({} == {})", shown(left), shown(right)),
            Expr::UnaryOp { expr, .. } => format!("(! {})", shown(expr)),
            other => other.to_string(),
        }
    }

    #[test]
    fn and_and_or_end_the_right_side() {
        for (text, grouped) in [
            ("a IS DISTINCT FROM b AND c", "((a <> b) AND c)"),
            ("p AND a IS NOT DISTINCT FROM b OR c", "((p AND (a == b)) OR c)"),
            ("NOT a IS DISTINCT FROM b AND c", "((! (a <> b)) AND c)"),
            ("a IS DISTINCT FROM b AND c IS DISTINCT FROM d OR e", "(((a <> b) AND (c <> d)) OR e)"),
            ("a IS DISTINCT FROM b OR c AND d", "((a <> b) OR (c AND d))"),
            ("a IS DISTINCT FROM b AND c AND d", "(((a <> b) AND c) AND d)"),
            ("a IS DISTINCT FROM NOT b AND c", "((a <> (! b)) AND c)"),
            ("a IS DISTINCT FROM (b AND c)", "(a <> (b AND c))"),
            ("a IS DISTINCT FROM b = c", "(a <> (b = c))"),
            ("NOT (a OR b) AND c", "((! (a OR b)) AND c)"),
        ] {
            assert_eq!(regrouped(text), grouped, "{text}");
        }
    }

    #[test]
    fn operators_bind_as_in_postgres() {
        for (text, grouped) in [
            ("a || b + c", "(a || (b + c))"),
            ("a || b * c", "(a || (b * c))"),
            ("a || b - c || d", "((a || (b - c)) || d)"),
            ("a + b || c * d || e % f - g", "(((a + b) || (c * d)) || ((e % f) - g))"),
            ("(a || b) * c", "((a || b) * c)"),
            ("a ^ b ^ c", "((a ^ b) ^ c)"),
            ("a * b ^ c", "(a * (b ^ c))"),
            ("a + b ^ c * d", "(a + ((b ^ c) * d))"),
            ("a - b ^ c - d", "((a - (b ^ c)) - d)"),
            ("a || b ^ c || d", "((a || (b ^ c)) || d)"),
            ("a | b & c", "((a | b) & c)"),
            ("a + b = c || d - e AND f", "(((a + b) = (c || (d - e))) AND f)"),
        ] {
            assert_eq!(regrouped(text), grouped, "{text}");
        }
    }

    fn regrouped(text: &str) -> String {
        let mut expr = Parser::new(&GenericDialect {}).try_with_sql(text).unwrap().parse_expr().unwrap();
        let _ = VisitMut::visit(&mut expr, &mut Regroup);
        shown(&expr)
    }
}
