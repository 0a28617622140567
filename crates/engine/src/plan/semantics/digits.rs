//! Numbers as they are written: a `DOUBLE` holds about 15 digits, and DataFusion reads every number that is no `BIGINT` as one.
//!
//! A number that a `DOUBLE` would not give back digit by digit is a `DECIMAL` of as many digits. Any other with a point stays a
//! `DOUBLE`, and becomes a `DECIMAL` beside one, as it is written: compared, added, subtracted, multiplied, or cast, but not
//! where it is divided. With an exponent it is a `DOUBLE` by itself.

use std::ops::ControlFlow;

use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DECIMAL256_MAX_PRECISION, DataType as ArrowType,
};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, TryCast, lit};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr as Written, UnaryOperator, Value, VisitorMut,
};

use crate::digits::{Digits, has_exponent, is_exact};
use crate::error::{Error, Place, Result, Subject};
use crate::plan::parameters::visit_inner;

/// Writes the numbers of a statement that a `DOUBLE` would round as what they are.
///
/// # Errors
/// At a number that no type holds.
pub(in crate::plan) fn write_digits(statement: &mut Statement) -> Result<()> {
    match visit_inner(statement, &mut Numbers) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Numbers;

impl VisitorMut for Numbers {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Written) -> ControlFlow<Error> {
        if let Written::BinaryOp { left, op: BinaryOperator::Divide | BinaryOperator::Modulo, right } = expr {
            stay_double(left);
            stay_double(right);
        }
        let (number, is_negative) = match expr {
            Written::UnaryOp { op: UnaryOperator::Minus, expr } => (expr.as_mut(), true),
            expr => (expr, false),
        };
        let Written::Value(value) = number else { return ControlFlow::Continue(()) };
        let Value::Number(written, _) = &value.value else { return ControlFlow::Continue(()) };
        // Only without a sign does an unsigned integer hold it.
        let is_too_low = is_negative && written.parse::<u64>().is_ok_and(|whole| whole > i64::MIN.unsigned_abs());
        if !is_too_low && !has_exponent(written) && !is_exact(written) {
            return ControlFlow::Continue(());
        }
        let read = if has_exponent(written) { check_range(written).map(|()| None) } else { exact(written).map(Some) };
        match read {
            Ok(Some(exact)) => *number = exact,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error.at_place(Place::of(value.span))),
        }
        ControlFlow::Continue(())
    }
}

/// Lets the numbers of a product that is divided be what they are by themselves: a quotient of decimals has few digits behind
/// the point, and whoever writes `1.0 * a / b` asks for those of a `DOUBLE`.
fn stay_double(operand: &mut Written) {
    match operand {
        Written::Nested(inner) => stay_double(inner),
        Written::BinaryOp { left, op: BinaryOperator::Multiply, right } => {
            for factor in [left, right] {
                let is_double = matches!(factor.as_ref(), Written::Value(value) if matches!(&value.value, Value::Number(..)))
                    && factor.to_string().contains('.');
                if is_double {
                    let number = std::mem::replace(factor.as_mut(), Written::value(Value::Null));
                    **factor = as_type(number, DataType::Double(ExactNumberInfo::None));
                } else {
                    stay_double(factor);
                }
            }
        }
        _ => {}
    }
}

/// That a `DOUBLE` holds the number at least nearly.
fn check_range(written: &str) -> Result<()> {
    let mantissa = written.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !mantissa.contains(|digit: char| digit.is_ascii_digit() && digit != '0');
    match written.parse::<f64>() {
        Ok(double) if double.is_finite() && (double != 0.0 || is_zero) => Ok(()),
        _ => Err(refused(format!("the number {written} is out of the range of DOUBLE"))
            .hint("a DOUBLE reaches from about 4.9e-324 to 1.8e308")),
    }
}

/// The number as a `DECIMAL` that holds all its digits.
fn exact(written: &str) -> Result<Written> {
    let Some((precision, scale)) = Digits::of(written).decimal(DECIMAL256_MAX_PRECISION) else {
        return Err(refused(format!("the number {written} has more than {DECIMAL256_MAX_PRECISION} digits"))
            .hint("with an exponent, such as e0 at its end, it is a DOUBLE, which keeps about 15 of them"));
    };
    let info = ExactNumberInfo::PrecisionAndScale(precision.into(), scale.into());
    let text = Written::value(Value::SingleQuotedString(written.to_owned()));
    Ok(as_type(text, DataType::Decimal(info)))
}

fn as_type(expr: Written, data_type: DataType) -> Written {
    Written::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn refused(message: String) -> Error {
    Error::invalid(message).about(Subject::Syntax)
}

/// Plans the operators between a number and a `DECIMAL`, before operands are given one type.
#[derive(Debug)]
pub(in crate::plan) struct Decimals;

impl ExprPlanner for Decimals {
    fn plan_binary_op(&self, mut expr: RawBinaryExpr, schema: &DFSchema) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        let Some(operation) = Operation::of(&expr.op) else { return Ok(PlannerResult::Original(expr)) };
        if is_double_literal(&expr.right) {
            expr.right = operation.beside(expr.right, &expr.left, schema)?;
        } else if is_double_literal(&expr.left) {
            expr.left = operation.beside(expr.left, &expr.right, schema)?;
        } else if operation == Operation::Comparison {
            expr.right = beside_double(expr.right, &expr.left, schema);
            expr.left = beside_double(expr.left, &expr.right, schema);
        }
        Ok(PlannerResult::Original(expr))
    }
}

fn is_double_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Float64(Some(_)), _))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Comparison,
    Sum,
    Product,
}

impl Operation {
    fn of(operator: &BinaryOperator) -> Option<Self> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, Minus, Multiply, NotEq, Plus};
        match operator {
            Eq | NotEq | Lt | LtEq | Gt | GtEq => Some(Self::Comparison),
            Plus | Minus => Some(Self::Sum),
            Multiply => Some(Self::Product),
            _ => None,
        }
    }

    /// The number as a `DECIMAL`, if the other operand is one and there is a type for both.
    fn beside(self, number: Expr, other: &Expr, schema: &DFSchema) -> PlanResult<Expr> {
        let Expr::Literal(ScalarValue::Float64(Some(double)), _) = &number else { return Ok(number) };
        let (precision, scale, is_wide) = match other.get_type(schema) {
            Ok(ArrowType::Decimal128(precision, scale)) => (precision, scale, false),
            Ok(ArrowType::Decimal256(precision, scale)) => (precision, scale, true),
            _ => return Ok(number),
        };
        let digits = Digits::of(&double.to_string());
        let Some((own, fraction)) = digits.decimal(DECIMAL128_MAX_PRECISION) else { return Ok(number) };
        let before_point = (own.cast_signed() - fraction).max(precision.cast_signed() - scale);
        let needed = before_point + scale.max(fraction);
        let data_type = match self {
            Self::Comparison if is_wide || needed > DECIMAL128_MAX_SCALE => ArrowType::Decimal256(own, fraction),
            Self::Product if !is_wide && scale + fraction > DECIMAL128_MAX_SCALE => return Ok(number),
            _ if is_wide => ArrowType::Decimal256(own, fraction),
            _ => ArrowType::Decimal128(own, fraction),
        };
        Ok(Expr::Cast(Cast::new(Box::new(number), data_type)))
    }
}

/// A number that is written with more digits than a `DOUBLE` has, as the nearest one, if it is compared with a `DOUBLE`.
fn beside_double(number: Expr, other: &Expr, schema: &DFSchema) -> Expr {
    let is_decimal = matches!(&number, Expr::Cast(cast) if text_of_decimal(cast).is_some());
    if is_decimal && matches!(other.get_type(schema), Ok(ArrowType::Float32 | ArrowType::Float64)) {
        return Expr::Cast(Cast::new(Box::new(number), ArrowType::Float64));
    }
    number
}

/// The text that is cast to a `DECIMAL`.
fn text_of_decimal(cast: &Cast) -> Option<&str> {
    match cast.expr.as_ref() {
        Expr::Literal(text, _) if cast.field.data_type().is_decimal() => text.try_as_str().flatten(),
        _ => None,
    }
}

/// The cast of a written number between `DOUBLE` and `DECIMAL`, from its digits.
pub(super) fn cast(expr: Expr) -> PlanResult<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type().is_decimal() => {
            Ok(as_text(*expr).update_data(|text| Expr::Cast(Cast { expr: Box::new(text), field })))
        }
        Expr::TryCast(TryCast { expr, field }) if field.data_type().is_decimal() => {
            Ok(as_text(*expr).update_data(|text| Expr::TryCast(TryCast { expr: Box::new(text), field })))
        }
        Expr::Cast(Cast { expr, field }) if field.data_type() == &ArrowType::Float64 => match nearest_double(&expr)? {
            Some(double) => Ok(Transformed::yes(lit(double))),
            None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
        },
        other => Ok(Transformed::no(other)),
    }
}

fn as_text(number: Expr) -> Transformed<Expr> {
    match number {
        Expr::Literal(ScalarValue::Float64(Some(double)), metadata) if double.is_finite() => {
            Transformed::yes(Expr::Literal(ScalarValue::Utf8(Some(double.to_string())), metadata))
        }
        other => Transformed::no(other),
    }
}

/// What a `DECIMAL` that is written as a text is as a `DOUBLE`: by its digits, since a quotient of two would be rounded twice.
fn nearest_double(decimal: &Expr) -> PlanResult<Option<f64>> {
    let Expr::Cast(inner) = decimal else { return Ok(None) };
    let Some(text) = text_of_decimal(inner) else { return Ok(None) };
    let decimal = ScalarValue::from(text).cast_to(inner.field.data_type())?.cast_to(&ArrowType::Utf8)?;
    Ok(decimal.try_as_str().flatten().and_then(|digits| digits.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Result<String> {
        let crate::plan::parse::Parsed::Sql(mut statement) = crate::plan::parse::parse(text)? else { panic!("{text}") };
        write_digits(&mut statement)?;
        Ok(statement.to_string())
    }

    #[test]
    fn only_what_a_double_would_round_is_a_decimal() {
        for (text, same) in [
            ("SELECT 0.1, 1.50, 00.25, 1e300, 18446744073709551615", None),
            ("SELECT -9223372036854775808, 0.30000000000000004", None),
            ("SELECT 18446744073709551616", Some("SELECT CAST('18446744073709551616' AS DECIMAL(20,0))")),
            ("SELECT -9223372036854775809", Some("SELECT -CAST('9223372036854775809' AS DECIMAL(19,0))")),
            ("SELECT 1.00000000000000000010", Some("SELECT CAST('1.00000000000000000010' AS DECIMAL(20,19))")),
            ("SELECT .00000000000000000011111", None),
            ("SELECT 100.0 * a / b", Some("SELECT CAST(100.0 AS DOUBLE) * a / b")),
            ("SELECT 1.5 * a + 1.5 / b", None),
            ("SELECT .12345678901234567891", Some("SELECT CAST('.12345678901234567891' AS DECIMAL(20,20))")),
        ] {
            assert_eq!(rewritten(text).unwrap(), same.unwrap_or(text));
        }
    }

    #[test]
    fn a_number_that_no_type_holds_is_refused_where_it_stands() {
        for text in ["SELECT 1e400", "SELECT 1e-400", &format!("SELECT 1{}", "1".repeat(76))] {
            let position = rewritten(text).unwrap_err().located(text).position().unwrap();
            assert_eq!((position.line, position.column), (1, 8), "{text}");
        }
        assert!(rewritten("SELECT 0e-999").is_ok());
    }
}
