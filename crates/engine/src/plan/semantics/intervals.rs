//! Intervals are compared by their length, a month counted as 30 days and a day as 24 hours. DataFusion compares their parts
//! one after the other, so that a month is longer than 31 days and a day never as long as 24 hours.

mod extreme;

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, Decimal128Array};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, InList, ScalarFunction};
use datafusion::logical_expr::{
    AggregateUDF, Between, BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// Nanoseconds: more digits than the longest interval has.
const LENGTH: DataType = DataType::Decimal128(38, 0);

const NANOSECONDS_OF_DAY: i128 = 86_400_000_000_000;

static LENGTH_OF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Length { signature }))
});

/// The function, for the state that plans are made and read with.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::clone(&LENGTH_OF)
}

/// The aggregates, likewise.
pub(super) fn aggregates() -> [Arc<AggregateUDF>; 2] {
    [extreme::shortest(), extreme::longest()]
}

/// The comparison by length, if it compares intervals.
pub(super) fn compared(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_comparison(op) && is_interval(&left, schema) && is_interval(&right, schema) =>
        {
            let (left, right) = (Box::new(length(*left)), Box::new(length(*right)));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(left, op, right))))
        }
        Expr::Between(between) if is_interval(&between.expr, schema) => {
            let Between { expr, negated, low, high } = between;
            let [expr, low, high] = [expr, low, high].map(|part| Box::new(length(*part)));
            Ok(Transformed::yes(Expr::Between(Between::new(expr, negated, low, high))))
        }
        Expr::InList(InList { expr, list, negated }) if is_interval(&expr, schema) => {
            let list = list.into_iter().map(length).collect();
            Ok(Transformed::yes(Expr::InList(InList::new(Box::new(length(*expr)), list, negated))))
        }
        Expr::AggregateFunction(call) => extreme(call, schema),
        other => Ok(Transformed::no(other)),
    }
}

/// `min` and `max` by length, if they are of intervals.
fn extreme(call: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let func = match (call.func.name(), call.params.args.as_slice()) {
        ("min", [value]) if is_interval(value, schema) => extreme::shortest(),
        ("max", [value]) if is_interval(value, schema) => extreme::longest(),
        _ => return Ok(Transformed::no(Expr::AggregateFunction(call))),
    };
    Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, ..call })))
}

/// The plan sorted by length, if it sorts intervals.
pub(super) fn sorted(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(mut sort) = plan else { return Ok(Transformed::no(plan)) };
    let schema = Arc::clone(sort.input.schema());
    let mut changed = false;
    for key in &mut sort.expr {
        if is_interval(&key.expr, &schema) {
            key.expr = length(std::mem::take(&mut key.expr));
            changed = true;
        }
    }
    Ok(Transformed::new_transformed(LogicalPlan::Sort(sort), changed))
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Interval(IntervalUnit::MonthDayNano)))
}

fn length(interval: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function(), vec![interval]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    signature: Signature,
}

fn nanoseconds(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * NANOSECONDS_OF_DAY + i128::from(interval.nanoseconds)
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &'static str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Interval(IntervalUnit::MonthDayNano)] => Ok(LENGTH),
            _ => internal_err!("{} takes an interval, not {arg_types:?}", self.name()),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [interval] = args.args.as_slice() else { return internal_err!("{} takes one argument", self.name()) };
        let array = interval.to_array(args.number_rows)?;
        let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
        let lengths = intervals.iter().map(|interval| interval.map(nanoseconds));
        let lengths = Arc::new(lengths.collect::<Decimal128Array>().with_data_type(LENGTH));
        if let ColumnarValue::Scalar(_) = interval {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(lengths.as_ref(), 0)?));
        }
        Ok(ColumnarValue::Array(lengths))
    }
}
