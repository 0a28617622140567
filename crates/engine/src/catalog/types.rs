//! The names of types in SQL, as PostgreSQL spells them and tools expect them.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// The name of a type. Types that SQL does not have are named by the nearest one that holds all values.
pub(crate) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("numeric({precision},{scale})"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("{}[]", sql_type(item.data_type())),
        DataType::Dictionary(_, value) => sql_type(value),
        DataType::RunEndEncoded(_, value) => sql_type(value.data_type()),
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("{} {}", field.name(), sql_type(field.data_type()))).collect();
            format!("struct({})", fields.join(", "))
        }
        DataType::Map(_, _) => "map".to_owned(),
        DataType::Union(_, _) => "union".to_owned(),
        other => plain_name(other).to_owned(),
    }
}

/// The name without parameters, as in `information_schema.columns.data_type`.
pub(crate) fn base_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "numeric"
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(_, _) => "ARRAY",
        DataType::Dictionary(_, value) => base_name(value),
        DataType::RunEndEncoded(_, value) => base_name(value.data_type()),
        DataType::Struct(_) | DataType::Map(_, _) | DataType::Union(_, _) => "USER-DEFINED",
        other => plain_name(other),
    }
}

fn plain_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint",
        DataType::UInt16 | DataType::Int32 => "integer",
        DataType::UInt32 | DataType::Int64 => "bigint",
        DataType::UInt64 => "numeric(20,0)",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Null => "unknown",
        _ => "USER-DEFINED",
    }
}

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
