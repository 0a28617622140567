//! What `information_schema` tells of a type besides its name.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// Precision in units of `radix`, and scale, of a number.
pub(crate) struct Numeric {
    pub(crate) precision: i64,
    pub(crate) radix: i64,
    pub(crate) scale: Option<i64>,
}

/// What a numeric type can hold; `None` for other types.
pub(crate) fn numeric(data_type: &DataType) -> Option<Numeric> {
    let binary = |precision, scale| Some(Numeric { precision, radix: 2, scale });
    match data_type {
        DataType::Int8 => binary(8, Some(0)),
        DataType::UInt8 | DataType::Int16 => binary(16, Some(0)),
        DataType::UInt16 | DataType::Int32 => binary(32, Some(0)),
        DataType::UInt32 | DataType::Int64 => binary(64, Some(0)),
        DataType::UInt64 => Some(Numeric { precision: 20, radix: 10, scale: Some(0) }),
        DataType::Float16 => binary(11, None),
        DataType::Float32 => binary(24, None),
        DataType::Float64 => binary(53, None),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            Some(Numeric { precision: (*precision).into(), radix: 10, scale: Some((*scale).into()) })
        }
        _ => None,
    }
}

/// Digits of a second that a type of time keeps; `None` for other types.
pub(crate) fn datetime_precision(data_type: &DataType) -> Option<i64> {
    match data_type {
        DataType::Date32 | DataType::Date64 => Some(0),
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) | DataType::Duration(unit) => {
            Some(match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            })
        }
        DataType::Interval(IntervalUnit::YearMonth) => Some(0),
        DataType::Interval(IntervalUnit::DayTime) => Some(3),
        DataType::Interval(IntervalUnit::MonthDayNano) => Some(9),
        _ => None,
    }
}
