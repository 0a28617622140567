//! `to_char`, `to_timestamp` and `to_date` with a template of PostgreSQL: `to_char(ts, 'YYYY-MM-DD HH24:MI')`. DataFusion knows
//! the patterns of `strftime` only, and takes every letter for itself; a pattern that holds a `%` goes its way.
//!
//! A template is read when the statement is planned, so it has to be a constant.

use std::sync::{Arc, LazyLock};

use arrow::array::timezone::Tz;
use arrow::array::types::TimestampMicrosecondType;
use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::temporal_conversions::{as_datetime, as_datetime_with_timezone};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{exec_err, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::scalar::ScalarValue;

mod template;

use template::{Moment, Template};

static FORMATTED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(2, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Formatted { signature }))
});

/// The function, for the state that plans are made and read with.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::clone(&FORMATTED)
}

/// The functions that read a text by one or more patterns.
const READERS: &[&str] = &[
    "to_date",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
];

/// The call with its template understood.
pub(super) fn understood(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    let name = call.func.name();
    if name == "to_char" {
        if let Some(text) = call.args.get(1).and_then(template_in) {
            Template::parse(text)?;
            call.func = function();
            return Ok(Transformed::yes(Expr::ScalarFunction(call)));
        }
    } else if READERS.contains(&name) {
        let mut is_changed = false;
        for argument in call.args.iter_mut().skip(1) {
            if let Some(text) = template_in(argument) {
                *argument = lit(Template::parse(text)?.for_reading(text)?);
                is_changed = true;
            }
        }
        let expr = Expr::ScalarFunction(call);
        return Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) });
    }
    Ok(Transformed::no(Expr::ScalarFunction(call)))
}

/// A constant text without the mark of the other patterns. `ISO8601` is one of those of durations.
fn template_in(argument: &Expr) -> Option<&str> {
    let text = match argument {
        Expr::Literal(value, _) => value.try_as_str().flatten()?,
        Expr::Cast(cast) => template_in(&cast.expr)?,
        _ => return None,
    };
    (!text.contains('%') && !text.eq_ignore_ascii_case("ISO8601") && !text.eq_ignore_ascii_case("pretty"))
        .then_some(text)
}

/// `to_char` with a template.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Formatted {
    signature: Signature,
}

impl ScalarUDFImpl for Formatted {
    fn name(&self) -> &'static str {
        "to_char_of_template"
    }

    /// As the user wrote it.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|argument| argument.schema_name().to_string()).collect();
        Ok(format!("to_char({})", names.join(",")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [moments, ColumnarValue::Scalar(text)] = args.args.as_slice() else {
            return internal_err!("{} takes a moment and a constant", self.name());
        };
        let Some(text) = text.try_as_str().flatten() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
        };
        let template = Template::parse(text)?;
        match moments {
            ColumnarValue::Array(moments) => Ok(ColumnarValue::Array(Arc::new(formatted(moments, &template)?))),
            ColumnarValue::Scalar(moment) => {
                let texts = formatted(&moment.to_array()?, &template)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?))
            }
        }
    }
}

fn formatted(moments: &ArrayRef, template: &Template) -> Result<StringArray> {
    let zone = match moments.data_type() {
        DataType::Timestamp(_, Some(zone)) => Some((zone.parse::<Tz>()?, zone.as_ref())),
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => None,
        DataType::Time32(_) | DataType::Time64(_) => None,
        other => return exec_err!("to_char with the template {template} takes no {}", crate::sql_type(other)),
    };
    let micros = microseconds(moments)?;
    let micros = micros.as_primitive::<Int64Type>();
    let mut texts = StringBuilder::with_capacity(micros.len(), micros.len() * 20);
    let mut text = String::new();
    for micros in micros {
        let Some(micros) = micros else {
            texts.append_null();
            continue;
        };
        let moment = match zone {
            Some((zone, name)) => as_datetime_with_timezone::<TimestampMicrosecondType>(micros, zone)
                .map(|moment| Moment::at(moment.naive_local(), Some((moment.format("%:z").to_string(), name)))),
            None => as_datetime::<TimestampMicrosecondType>(micros).map(|moment| Moment::at(moment, None)),
        };
        let Some(moment) = moment else { return exec_err!("to_char: a timestamp is out of range") };
        text.clear();
        template.write(&moment, &mut text);
        texts.append_value(&text);
    }
    Ok(texts.finish())
}

/// The moments by their distance from 1970 in UTC; times of day are those of its first day.
fn microseconds(moments: &ArrayRef) -> Result<ArrayRef> {
    let unit = match moments.data_type() {
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        _ => DataType::Timestamp(TimeUnit::Microsecond, None),
    };
    Ok(cast(&cast(moments, &unit)?, &DataType::Int64)?)
}
