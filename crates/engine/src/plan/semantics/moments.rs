//! Texts that become dates and timestamps as PostgreSQL and DuckDB read them: without seconds, with parts of one digit, with an
//! offset in hours. DataFusion reads the whole form of ISO 8601 only.
//!
//! The text is written in that form before it is cast.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast,
    Volatility,
};
use datafusion::scalar::ScalarValue;

static WHOLE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Whole { signature }))
});

/// The function, for the state that plans are made and read with.
pub(super) fn function() -> Arc<ScalarUDF> {
    Arc::clone(&WHOLE)
}

/// The cast of a text in the whole form, if it is one to a date or a timestamp.
pub(super) fn read(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) if is_moment(field.data_type()) && is_text(&expr, schema) => {
            Ok(whole(*expr).update_data(|text| Expr::Cast(Cast { expr: Box::new(text), field })))
        }
        Expr::TryCast(TryCast { expr, field }) if is_moment(field.data_type()) && is_text(&expr, schema) => {
            Ok(whole(*expr).update_data(|text| Expr::TryCast(TryCast { expr: Box::new(text), field })))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

fn is_text(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
}

fn whole(text: Expr) -> Transformed<Expr> {
    match text {
        Expr::Literal(ScalarValue::Utf8(Some(text)), metadata) => match completed(&text) {
            Cow::Borrowed(_) => Transformed::no(Expr::Literal(ScalarValue::Utf8(Some(text)), metadata)),
            Cow::Owned(whole) => Transformed::yes(Expr::Literal(ScalarValue::Utf8(Some(whole)), metadata)),
        },
        Expr::Literal(..) => Transformed::no(text),
        Expr::ScalarFunction(call) if call.func.name() == WHOLE.name() => Transformed::no(Expr::ScalarFunction(call)),
        text => Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function(), vec![text]))),
    }
}

/// The text in the whole form, if it has a time that misses some of it; what is no timestamp stays as it is.
fn completed(text: &str) -> Cow<'_, str> {
    if is_whole(text) {
        return Cow::Borrowed(text);
    }
    in_parts(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether it begins `2024-01-01T00:00:00`, or is no longer than a date.
fn is_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    let has_zone_in_hours = matches!(bytes, [.., b'+' | b'-', a, b] if a.is_ascii_digit() && b.is_ascii_digit());
    let is_long = has(4, b'-') && has(7, b'-') && has(13, b':') && has(16, b':') && !has_zone_in_hours;
    is_long || !text.trim().contains([' ', 'T', 't'])
}

fn in_parts(text: &str) -> Option<String> {
    let (date, rest) = text.trim().split_once([' ', 'T', 't'])?;
    let (year, day) = date.split_once('-')?;
    let (month, day) = day.split_once('-')?;
    let rest = rest.trim_start();
    let end = rest.find(|character: char| !character.is_ascii_digit() && !matches!(character, ':' | '.'));
    let (time, zone) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
    let (hour, minute) = time.split_once(':')?;
    let (minute, second) = minute.split_once(':').unwrap_or((minute, "00"));
    let (second, fraction) = second.split_once('.').unwrap_or((second, ""));
    let are_two =
        [month, day, hour, minute, second].into_iter().all(|part| matches!(part.len(), 1 | 2) && is_digits(part));
    if !are_two || year.len() != 4 || !is_digits(year) || !is_digits(fraction) {
        return None;
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let zone = zone.trim_start();
    let minutes = if is_hours(zone) { ":00" } else { "" };
    // A zone by its name stands apart.
    let space = if zone.len() > 1 && !zone.starts_with(['+', '-']) { " " } else { "" };
    Some(format!(
        "{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute:0>2}:{second:0>2}{point}{fraction}{space}{zone}{minutes}"
    ))
}

fn is_digits(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit())
}

/// An offset such as `+02`.
fn is_hours(zone: &str) -> bool {
    zone.len() == 3 && zone.strip_prefix(['+', '-']).is_some_and(is_digits)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Whole {
    signature: Signature,
}

impl ScalarUDFImpl for Whole {
    fn name(&self) -> &'static str {
        "whole_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [text] => Ok(text.clone()),
            _ => internal_err!("{} takes one argument", self.name()),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text] = args.args.as_slice() else { return internal_err!("{} takes one argument", self.name()) };
        match text {
            ColumnarValue::Array(texts) => Ok(ColumnarValue::Array(whole_texts(texts)?)),
            ColumnarValue::Scalar(text) => {
                let whole = whole_texts(&text.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(whole.as_ref(), 0)?))
            }
        }
    }
}

/// The texts themselves, if they are whole, as most are.
fn whole_texts(texts: &ArrayRef) -> Result<ArrayRef> {
    let plain = cast(texts, &DataType::Utf8)?;
    let plain: &StringArray = plain.as_string();
    if plain.iter().flatten().all(is_whole) {
        return Ok(Arc::clone(texts));
    }
    let whole: StringArray = plain.iter().map(|text| text.map(completed)).collect();
    Ok(cast(&(Arc::new(whole) as ArrayRef), texts.data_type())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_completed_and_what_is_no_time_stays() {
        for (text, whole) in [
            ("2024-01-01 10:30", "2024-01-01T10:30:00"),
            ("2024-1-5T1:2:3.25", "2024-01-05T01:02:03.25"),
            ("2024-01-01 10:30Z", "2024-01-01T10:30:00Z"),
            ("2024-01-01 10:30:00+02", "2024-01-01T10:30:00+02:00"),
            ("2024-01-01 10:30-0330", "2024-01-01T10:30:00-0330"),
            (" 2024-01-01  10:30 Europe/Berlin", "2024-01-01T10:30:00 Europe/Berlin"),
        ] {
            assert_eq!(completed(text), whole);
        }
        for text in
            ["2024-01-01 10:30:00", "2024-01-01", "2024-1-5", "yesterday noon", "1 2:3", "", "2024-01-01 10", "Tä:ü"]
        {
            assert!(matches!(completed(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
