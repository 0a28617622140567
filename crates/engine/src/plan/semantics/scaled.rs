//! Intervals times and divided by numbers, and dates with intervals that are no whole days.
//!
//! A part of a month that is left over counts as days of a month of 30, a part of a day as time, as in PostgreSQL.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::compute::kernels::arity::try_binary;
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimeUnit,
};
use arrow::error::ArrowError;
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::BinaryOperator;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

const NANOSECONDS_OF_DAY: f64 = 86_400e9;
const DAYS_OF_MONTH: f64 = 30.0;

static MULTIPLY: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Scale::function(Operation::Multiply));
static DIVIDE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Scale::function(Operation::Divide));

/// The functions, for the state that plans are made and read with.
pub(super) fn functions() -> [Arc<ScalarUDF>; 2] {
    [Arc::clone(&MULTIPLY), Arc::clone(&DIVIDE)]
}

/// Plans the operators, before operands are given one type.
#[derive(Debug)]
pub(in crate::plan) struct Intervals;

impl ExprPlanner for Intervals {
    fn plan_binary_op(&self, mut expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator::{Divide, Minus, Multiply, Plus};
        let operator = &expr.op;
        if !matches!(operator, Multiply | Divide | Plus | Minus) {
            return Ok(PlannerResult::Original(expr));
        }
        let Ok(right) = expr.right.get_type(schema) else { return Ok(PlannerResult::Original(expr)) };
        let decides = match operator {
            Plus | Minus => right == INTERVAL || is_date(&right),
            _ => is_number(&right) || is_span(&right),
        };
        // The left side of a long sum is a long sum, the type of which takes a look at all of it.
        let Some(left) = Some(&expr.left).filter(|_| decides).and_then(|left| left.get_type(schema).ok()) else {
            return Ok(PlannerResult::Original(expr));
        };
        match operator {
            Multiply if is_span(&left) && is_number(&right) => {
                Ok(PlannerResult::Planned(call(&MULTIPLY, expr.left, expr.right)))
            }
            Multiply if is_number(&left) && is_span(&right) => {
                Ok(PlannerResult::Planned(call(&MULTIPLY, expr.right, expr.left)))
            }
            Divide if is_span(&left) && is_number(&right) => {
                Ok(PlannerResult::Planned(call(&DIVIDE, expr.left, expr.right)))
            }
            Plus | Minus if is_date(&left) && right == INTERVAL && !is_whole_days(&expr.right, schema) => {
                expr.left = timestamp(expr.left);
                Ok(PlannerResult::Original(expr))
            }
            Plus if left == INTERVAL && is_date(&right) && !is_whole_days(&expr.left, schema) => {
                expr.right = timestamp(expr.right);
                Ok(PlannerResult::Original(expr))
            }
            _ => Ok(PlannerResult::Original(expr)),
        }
    }
}

fn is_span(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// Of a parameter without a value, the type is not known yet.
fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.is_null()
}

fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64)
}

fn timestamp(date: Expr) -> Expr {
    Expr::Cast(Cast::new(Box::new(date), DataType::Timestamp(TimeUnit::Nanosecond, None)))
}

/// Whether it is known to have no part of a day, so that a date stays a date.
fn is_whole_days(interval: &Expr, schema: &DFSchema) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) => value.nanoseconds == 0,
        Expr::Negative(inner) => is_whole_days(inner, schema),
        Expr::ScalarFunction(call) if call.func.name() == MULTIPLY.name() => match call.args.as_slice() {
            [interval, factor] => {
                is_whole_days(interval, schema) && factor.get_type(schema).is_ok_and(|factor| factor.is_integer())
            }
            _ => false,
        },
        _ => false,
    }
}

fn call(function: &Arc<ScalarUDF>, interval: Expr, number: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![interval, number]))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Multiply,
    Divide,
}

impl Operation {
    fn apply(self, part: f64, number: f64) -> f64 {
        match self {
            Self::Multiply => part * number,
            Self::Divide => part / number,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multiply => "*",
            Self::Divide => "/",
        })
    }
}

/// An interval times or divided by a number.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Scale {
    operation: Operation,
    signature: Signature,
}

impl Scale {
    fn function(operation: Operation) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Self { operation, signature }))
    }

    fn scaled(&self, intervals: &ArrayRef, numbers: &ArrayRef) -> Result<ArrayRef> {
        let intervals = cast(intervals, &INTERVAL)?;
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let scaled: PrimitiveArray<IntervalMonthDayNanoType> = match (self.operation, numbers.data_type()) {
            (Operation::Multiply, DataType::Int64) => {
                try_binary(intervals, numbers.as_primitive::<Int64Type>(), times)?
            }
            (operation, _) => {
                let numbers = cast(numbers, &DataType::Float64)?;
                let scaled = |interval, number| by_parts(operation, interval, number);
                try_binary(intervals, numbers.as_primitive::<Float64Type>(), scaled)?
            }
        };
        Ok(Arc::new(scaled))
    }
}

/// By a whole number, exactly.
fn times(interval: IntervalMonthDayNano, number: i64) -> Result<IntervalMonthDayNano, ArrowError> {
    let part = |part: i32| i64::from(part).checked_mul(number).and_then(|part| i32::try_from(part).ok());
    let months = part(interval.months).ok_or_else(out_of_range)?;
    let days = part(interval.days).ok_or_else(out_of_range)?;
    let nanoseconds = interval.nanoseconds.checked_mul(number).ok_or_else(out_of_range)?;
    Ok(IntervalMonthDayNano::new(months, days, nanoseconds))
}

fn by_parts(
    operation: Operation,
    interval: IntervalMonthDayNano,
    number: f64,
) -> Result<IntervalMonthDayNano, ArrowError> {
    if operation == Operation::Divide && number == 0.0 {
        return Err(ArrowError::DivideByZero);
    }
    let months = operation.apply(f64::from(interval.months), number);
    // A share of a month is no more exact than the number: what is less than a microsecond of a day is noise.
    let days_left = rounded(months.fract() * DAYS_OF_MONTH);
    let days = operation.apply(f64::from(interval.days), number);
    let day_left = rounded(days.fract() + days_left.fract());
    #[expect(clippy::cast_precision_loss, reason = "the product is no more exact than the number")]
    let time = operation.apply(interval.nanoseconds as f64, number);
    let days = days.trunc() + days_left.trunc() + day_left.trunc();
    let nanoseconds = ((time + day_left.fract() * NANOSECONDS_OF_DAY) / 1000.0).round_ties_even() * 1000.0;
    Ok(IntervalMonthDayNano::new(whole(months.trunc())?, whole(days)?, whole_time(nanoseconds)?))
}

/// Up to a millionth of a millionth, which is less than a microsecond of a day.
fn rounded(value: f64) -> f64 {
    (value * 1e12).round() / 1e12
}

fn whole(value: f64) -> Result<i32, ArrowError> {
    if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value) {
        return Err(out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    Ok(value as i32)
}

fn whole_time(value: f64) -> Result<i64, ArrowError> {
    // The next number above the largest is the first one that does not fit.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if !(-LIMIT..LIMIT).contains(&value) {
        return Err(out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    Ok(value as i64)
}

fn out_of_range() -> ArrowError {
    ArrowError::ArithmeticOverflow("the interval is out of range".to_owned())
}

impl ScalarUDFImpl for Scale {
    fn name(&self) -> &'static str {
        match self.operation {
            Operation::Multiply => "interval_multiply",
            Operation::Divide => "interval_divide",
        }
    }

    /// As the operator, so that columns are called what the user wrote.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [left, right] = args else { return internal_err!("{} takes two arguments", self.name()) };
        Ok(format!("{} {} {}", left.schema_name(), self.operation, right.schema_name()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [_, number] => Ok(vec![INTERVAL, if number.is_integer() { DataType::Int64 } else { DataType::Float64 }]),
            _ => internal_err!("{} takes two arguments, not {}", self.name(), types.len()),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), INTERVAL, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [intervals, numbers] = arrays.as_slice() else {
            return internal_err!("{} takes two arguments", self.name());
        };
        let scaled = self.scaled(intervals, numbers)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(scaled.as_ref(), 0)?));
        }
        Ok(ColumnarValue::Array(scaled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_months_and_days_goes_on() {
        const HOUR: i64 = 3_600_000_000_000;
        for (interval, operation, number, (months, days, nanoseconds)) in [
            ((1, 0, 0), Operation::Divide, 2.0, (0, 15, 0)),
            ((0, 1, 0), Operation::Multiply, 1.5, (0, 1, 12 * HOUR)),
            ((1, 1, HOUR), Operation::Multiply, -0.5, (0, -15, -12 * HOUR - HOUR / 2)),
            ((14, 3, 0), Operation::Divide, 3.0, (4, 21, 0)),
            ((0, 0, HOUR), Operation::Divide, 3.0, (0, 0, HOUR / 3)),
        ] {
            let interval = IntervalMonthDayNano::new(interval.0, interval.1, interval.2);
            let scaled = by_parts(operation, interval, number).unwrap();
            assert_eq!(scaled, IntervalMonthDayNano::new(months, days, nanoseconds));
        }
        let long = IntervalMonthDayNano::new(i32::MAX, 0, 0);
        assert!(by_parts(Operation::Multiply, long, 2.0).is_err());
        assert!(times(long, 2).is_err());
        assert!(by_parts(Operation::Divide, long, 0.0).is_err());
    }
}
