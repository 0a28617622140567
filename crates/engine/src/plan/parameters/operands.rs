//! Parameters that are added to dates and times, or taken away from them.
//!
//! DataFusion takes a parameter to have the type of the other operand, which is right for `date - $1` and `timestamp - $1`
//! until there is a value, and no statement at all for `date + $1`.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType as SqlType, Expr as SqlExpr, Value, VisitorMut,
};

use super::{placeholder, visit_inner};
use crate::request::Parameters;

/// Gives a parameter that is added to a date or a time the type that such a sum takes: days, or an interval.
#[derive(Debug)]
pub(in crate::plan) struct Operands;

impl ExprPlanner for Operands {
    fn plan_binary_op(&self, mut expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op == BinaryOperator::Plus {
            let (left, right) = (&mut expr.left, &mut expr.right);
            give_type(right, left, schema);
            give_type(left, right, schema);
        }
        Ok(PlannerResult::Original(expr))
    }
}

fn give_type(operand: &mut Expr, other: &Expr, schema: &DFSchema) {
    let Expr::Placeholder(parameter) = operand else { return };
    if parameter.field.is_some() {
        return;
    }
    let Ok(other) = other.get_type(schema) else { return };
    let data_type = match other {
        DataType::Date32 | DataType::Date64 => DataType::Int64,
        DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) => {
            DataType::Interval(IntervalUnit::MonthDayNano)
        }
        _ => return,
    };
    parameter.field = Some(Arc::new(Field::new(&parameter.id, data_type, true)));
}

/// Says of operands whose values are spans of time that they are intervals, before the statement is planned: what a date
/// and a span make depends on it.
pub(in crate::plan) fn say_spans(statement: &mut SqlStatement, values: &Parameters) {
    let is_span = |value: &ScalarValue| matches!(value.data_type(), DataType::Duration(_) | DataType::Interval(_));
    let any = match values {
        Parameters::None => false,
        Parameters::Positional(values) => values.iter().any(is_span),
        Parameters::Named(values) => values.values().any(is_span),
    };
    if any {
        let is_span = |name: &str| value(values, name).is_some_and(is_span);
        // The visitor never breaks off.
        let _ = visit_inner(statement, &mut Spans { is_span });
    }
}

/// The value of a parameter that is called `$1` or `$name`.
fn value<'a>(values: &'a Parameters, name: &str) -> Option<&'a ScalarValue> {
    let name = name.trim_start_matches('$');
    match values {
        Parameters::None => None,
        Parameters::Positional(values) => values.get(name.parse::<usize>().ok()?.checked_sub(1)?),
        Parameters::Named(values) => values.get(name),
    }
}

struct Spans<F> {
    is_span: F,
}

impl<F: Fn(&str) -> bool> VisitorMut for Spans<F> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        if let SqlExpr::BinaryOp { left, op: BinaryOperator::Plus | BinaryOperator::Minus, right } = expr {
            for operand in [left, right] {
                if placeholder(operand).is_some_and(|name| (self.is_span)(name)) {
                    let parameter = std::mem::replace(operand.as_mut(), SqlExpr::value(Value::Null));
                    **operand = as_interval(parameter);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn as_interval(parameter: SqlExpr) -> SqlExpr {
    SqlExpr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(parameter),
        data_type: SqlType::Interval { fields: None, precision: None },
        array: false,
        format: None,
    }
}
