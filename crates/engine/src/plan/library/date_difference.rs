//! `date_diff('day', a, b)`: how many boundaries of a unit lie between two moments, and how many whole weeks, as in DuckDB.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::compute::cast;
use arrow::compute::kernels::arity::try_binary;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike};
use datafusion::common::{exec_err, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::documentation;
use crate::sql_type::sql_type;

/// Dates and timestamps alike: instants in UTC, local times as they are.
const MOMENT: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// From the first moment to the second.
pub(super) fn function() -> Arc<ScalarUDF> {
    let aliases = vec!["datediff".to_owned()];
    let signature = Signature::user_defined(Volatility::Immutable);
    let description =
        "Returns how many boundaries of a unit such as 'day' lie between two moments; of weeks, how many are whole.";
    let documentation = documentation(description, &["unit", "from", "to"]);
    Arc::new(ScalarUDF::new_from_impl(Difference { aliases, signature, documentation }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Difference {
    aliases: Vec<String>,
    signature: Signature,
    documentation: Documentation,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// So many months, from January of the year 0 on.
    Months(i64),
    /// Days.
    Days,
    /// Seven days, whichever is the first.
    Weeks,
    /// So many microseconds.
    Microseconds(i64),
}

impl Unit {
    fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        // One letter is no plural.
        let singular = if name.len() > 2 { name.strip_suffix('s').unwrap_or(&name) } else { &name };
        Some(match singular {
            "year" | "yr" | "y" => Self::Months(12),
            "decade" => Self::Months(120),
            "quarter" => Self::Months(3),
            "month" | "mon" => Self::Months(1),
            "week" | "w" => Self::Weeks,
            "day" | "d" => Self::Days,
            "hour" | "h" => Self::Microseconds(3600 * SECOND),
            "minute" | "min" | "m" => Self::Microseconds(60 * SECOND),
            "second" | "sec" => Self::Microseconds(SECOND),
            "millisecond" | "ms" => Self::Microseconds(1000),
            "microsecond" | "us" => Self::Microseconds(1),
            _ => return None,
        })
    }

    /// How often the unit begins between two moments, which are microseconds from 1970 on.
    fn between(self, from: i64, to: i64) -> Result<i64, ArrowError> {
        Ok(match self {
            Self::Microseconds(size) => to.div_euclid(size) - from.div_euclid(size),
            Self::Days => to.div_euclid(DAY) - from.div_euclid(DAY),
            Self::Weeks => Self::Days.between(from, to)? / 7,
            Self::Months(size) => month(to)?.div_euclid(size) - month(from)?.div_euclid(size),
        })
    }
}

/// The number of the month of a moment, from January of the year 0 on.
fn month(moment: i64) -> Result<i64, ArrowError> {
    let date = DateTime::from_timestamp_micros(moment)
        .ok_or_else(|| ArrowError::ComputeError(format!("the timestamp {moment} is out of range")))?;
    Ok(i64::from(date.year()) * 12 + i64::from(date.month0()))
}

impl ScalarUDFImpl for Difference {
    fn name(&self) -> &'static str {
        "date_diff"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{Date32, Date64, LargeUtf8, Null, Timestamp, Utf8, Utf8View};
        let [Utf8 | LargeUtf8 | Utf8View | Null, moments @ ..] = types else {
            return plan_err!("{0} takes a unit first: {0}('day', from, to)", self.name());
        };
        if moments.len() != 2 {
            return plan_err!("{0} takes a unit and two moments: {0}('day', from, to)", self.name());
        }
        for moment in moments {
            if !matches!(moment, Date32 | Date64 | Timestamp(..) | Utf8 | LargeUtf8 | Utf8View | Null) {
                return plan_err!("{} takes dates and timestamps, not {}", self.name(), sql_type(moment));
            }
        }
        Ok(vec![Utf8, MOMENT, MOMENT])
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), DataType::Int64, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [unit, from, to] = args.args.as_slice() else {
            return internal_err!("{} takes three arguments", self.name());
        };
        let unit = match unit {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))) => match Unit::named(name) {
                Some(unit) => unit,
                None => {
                    return exec_err!(
                        "{} does not know the unit '{name}': it knows decade, year, quarter, month, week, day, hour, \
                         minute, second, millisecond and microsecond",
                        self.name()
                    );
                }
            },
            _ => return exec_err!("{} takes a constant as its unit", self.name()),
        };
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let (from, to) = (cast(&from.to_array(rows)?, &MOMENT)?, cast(&to.to_array(rows)?, &MOMENT)?);
        let (from, to) =
            (from.as_primitive::<TimestampMicrosecondType>(), to.as_primitive::<TimestampMicrosecondType>());
        let counts: Int64Array = try_binary(from, to, |from, to| unit.between(from, to))?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&counts, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_known_by_their_names_and_plurals() {
        for (name, unit) in [
            ("DAYS", Unit::Days),
            ("ms", Unit::Microseconds(1000)),
            ("us", Unit::Microseconds(1)),
            ("m", Unit::Microseconds(60 * SECOND)),
            ("Quarter", Unit::Months(3)),
        ] {
            assert_eq!(Unit::named(name), Some(unit), "{name}");
        }
        assert_eq!(Unit::named("fortnight"), None);
    }

    #[test]
    fn boundaries_are_counted_before_1970_too_and_weeks_are_whole() {
        assert_eq!(Unit::Days.between(-1, 0).unwrap(), 1);
        assert_eq!(Unit::Days.between(-DAY, -1).unwrap(), 0);
        assert_eq!(Unit::Months(12).between(-1, 0).unwrap(), 1);
        assert_eq!(Unit::Microseconds(1000).between(-1, 999).unwrap(), 1);
        assert_eq!(Unit::Weeks.between(0, 7 * DAY - 1).unwrap(), 0);
        assert_eq!(Unit::Weeks.between(DAY - 1, 7 * DAY).unwrap(), 1);
        assert_eq!(Unit::Weeks.between(13 * DAY, 0).unwrap(), -1);
    }
}
