//! `year(d)`, `month(d)`, ...: `date_part` with its first argument said by the name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::functions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use datafusion::scalar::ScalarValue;

use super::documentation;
use crate::sql_type::sql_type;

/// The functions: the part of `date_part` that each one gives, what it is, and the names, the first of which it is called by.
const PARTS: &[(&str, &str, &[&str])] = &[
    ("year", "the year", &["year"]),
    ("isoyear", "the year that its week belongs to by ISO 8601", &["isoyear"]),
    ("quarter", "the quarter, from 1 to 4", &["quarter"]),
    ("month", "the month, from 1 to 12", &["month"]),
    ("week", "the week of the year by ISO 8601", &["week", "weekofyear"]),
    ("day", "the day of the month", &["day", "dayofmonth"]),
    ("dow", "the day of the week, from 0 for Sunday to 6", &["dayofweek", "dow", "weekday"]),
    ("isodow", "the day of the week, from 1 for Monday to 7", &["isodow"]),
    ("doy", "the day of the year, from 1", &["dayofyear", "doy"]),
    ("hour", "the hour", &["hour"]),
    ("minute", "the minute", &["minute"]),
    ("second", "the second, without its fraction", &["second"]),
];

/// One function a part.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let function = |(part, what, names): &(&'static str, &str, &'static [&'static str])| {
        let (name, others) = names.split_first()?;
        let signature = Signature::user_defined(Volatility::Immutable);
        let aliases = others.iter().map(|&name| name.to_owned()).collect();
        let documentation = documentation(format!("Returns {what}, of a date, a time or an interval."), &["value"]);
        Some(Arc::new(ScalarUDF::new_from_impl(Part { part, name, aliases, signature, documentation })))
    };
    PARTS.iter().filter_map(function).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    part: &'static str,
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Documentation,
}

impl Part {
    /// What `date_part` takes before the value.
    fn value(&self) -> ScalarValue {
        ScalarValue::from(self.part)
    }

    fn field(&self) -> FieldRef {
        Arc::new(Field::new("part", self.value().data_type(), false))
    }
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{
            Date32, Date64, Duration, Interval, LargeUtf8, Null, Time32, Time64, Timestamp, Utf8, Utf8View,
        };
        let [value] = types else { return plan_err!("{} takes one argument, not {}", self.name, types.len()) };
        match value {
            Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) | Interval(_) | Duration(_) => {
                Ok(vec![value.clone()])
            }
            Utf8 | LargeUtf8 | Utf8View | Null => Ok(vec![Timestamp(TimeUnit::Nanosecond, None)]),
            other => {
                plan_err!("{} takes a date, a time, a timestamp or an interval, not {}", self.name, sql_type(other))
            }
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [value] = args.arg_fields else { return internal_err!("{} takes one argument", self.name) };
        Ok(Arc::new(Field::new(self.name, DataType::Int32, value.is_nullable())))
    }

    /// Filters by year become ranges, which is what `date_part` knows to do.
    fn simplify(&self, mut args: Vec<Expr>, _context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        args.insert(0, lit(self.value()));
        let call = ScalarFunction::new_udf(functions::datetime::date_part(), args);
        Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(call)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args.insert(0, ColumnarValue::Scalar(self.value()));
        args.arg_fields.insert(0, self.field());
        functions::datetime::date_part().invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
