//! Arithmetic, `^`, `||` and the operators on bits as PostgreSQL and DuckDB group them, from close to loose: `^`, then `* / %`,
//! then `+ -`, then `|| | &`; all of them from left to right. The parser gives `||` the place of `*`, and `^` one behind `+`.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};

use super::take;

/// What stands to one side of an operator, from the outside in.
type Spine = Vec<(Box<Expr>, BinaryOperator)>;

/// Groups an operation whose operands are grouped already.
pub(super) fn settle(expr: &mut Expr) {
    let Expr::BinaryOp { left, op, right } = expr else { return };
    let Some(own) = strength(op) else { return };
    if !binds(left, |other| other < own) && !binds(right, |other| other <= own) {
        return;
    }
    let Expr::BinaryOp { mut left, op, mut right } = take(expr) else { return };
    let (mut before, mut behind) = (Spine::new(), Spine::new());
    while binds(&left, |other| other < own) {
        let Expr::BinaryOp { left: first, op, right } = *left else { return };
        before.push((first, op));
        left = right;
    }
    while binds(&right, |other| other <= own) {
        let Expr::BinaryOp { left, op, right: last } = *right else { return };
        behind.push((last, op));
        right = left;
    }
    let mut core = Expr::BinaryOp { left, op, right };
    loop {
        let [first, last] = [&before, &behind].map(|side| side.last().map(|(_, op)| strength(op)));
        if first >= last
            && let Some((left, op)) = before.pop()
        {
            core = Expr::BinaryOp { left, op, right: Box::new(core) };
        } else if let Some((right, op)) = behind.pop() {
            core = Expr::BinaryOp { left: Box::new(core), op, right };
        } else {
            break;
        }
    }
    *expr = core;
}

/// Whether the expression is an operation, without parentheses, that binds so.
fn binds(expr: &Expr, so: impl Fn(u8) -> bool) -> bool {
    matches!(expr, Expr::BinaryOp { op, .. } if strength(op).is_some_and(so))
}

/// How close an operator binds; none for those that are grouped right.
fn strength(operator: &BinaryOperator) -> Option<u8> {
    use BinaryOperator as Op;
    match operator {
        Op::StringConcat | Op::BitwiseOr | Op::BitwiseAnd => Some(0),
        Op::Plus | Op::Minus => Some(1),
        Op::Multiply | Op::Divide | Op::Modulo | Op::DuckIntegerDivide | Op::MyIntegerDivide => Some(2),
        Op::BitwiseXor => Some(3),
        _ => None,
    }
}
