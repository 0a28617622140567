//! SQL names of types, as typed parameters spell them.

use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, IntervalUnit, TimeUnit,
};

/// What to say when a name is unknown.
pub(super) const KNOWN: &str = "known types are BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT (each also UNSIGNED), REAL, DOUBLE, \
    DECIMAL(p,s), VARCHAR, BYTEA (base64), DATE, TIME, TIMESTAMP [WITH TIME ZONE], INTERVAL, and T[] for arrays";

/// The type of this name; upper or lower case, any white space. `None` if there is none.
pub(super) fn parse(name: &str) -> Option<DataType> {
    let name = name.trim();
    if let Some(element) = name.strip_suffix("[]") {
        return Some(DataType::new_list(parse(element)?, true));
    }
    let (base, arguments, rest) = match name.split_once('(') {
        Some((base, rest)) => {
            let (arguments, rest) = rest.split_once(')')?;
            (base, Some(numbers(arguments)?), rest)
        }
        None => (name, None, ""),
    };
    let words = [base, rest].join(" ").to_ascii_uppercase();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match arguments.as_deref() {
        None => unparameterized(&words),
        Some([precision]) => match words.as_str() {
            "DECIMAL" | "NUMERIC" => decimal(*precision, 0),
            "VARCHAR" | "CHAR" | "CHARACTER VARYING" => Some(DataType::Utf8),
            _ => {
                let DataType::Timestamp(_, zone) = unparameterized(&words)? else { return None };
                Some(DataType::Timestamp(unit(*precision)?, zone))
            }
        },
        Some([precision, scale]) if matches!(words.as_str(), "DECIMAL" | "NUMERIC") => decimal(*precision, *scale),
        Some(_) => None,
    }
}

fn numbers(arguments: &str) -> Option<Vec<u8>> {
    arguments.split(',').map(|number| number.trim().parse().ok()).collect()
}

fn unparameterized(words: &str) -> Option<DataType> {
    Some(match words {
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "TINYINT" => DataType::Int8,
        "SMALLINT" | "INT2" => DataType::Int16,
        "INTEGER" | "INT" | "INT4" => DataType::Int32,
        "BIGINT" | "INT8" => DataType::Int64,
        "TINYINT UNSIGNED" | "UTINYINT" => DataType::UInt8,
        "SMALLINT UNSIGNED" | "USMALLINT" => DataType::UInt16,
        "INTEGER UNSIGNED" | "INT UNSIGNED" | "UINTEGER" => DataType::UInt32,
        "BIGINT UNSIGNED" | "UBIGINT" => DataType::UInt64,
        "REAL" | "FLOAT" | "FLOAT4" => DataType::Float32,
        "DOUBLE" | "DOUBLE PRECISION" | "FLOAT8" => DataType::Float64,
        "DECIMAL" | "NUMERIC" => DataType::Decimal128(38, 10),
        "VARCHAR" | "CHAR" | "TEXT" | "STRING" | "CHARACTER VARYING" => DataType::Utf8,
        "BYTEA" | "BINARY" | "VARBINARY" | "BLOB" => DataType::Binary,
        "DATE" => DataType::Date32,
        "TIME" | "TIME WITHOUT TIME ZONE" => DataType::Time64(TimeUnit::Nanosecond),
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => DataType::Timestamp(TimeUnit::Nanosecond, None),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())),
        "INTERVAL" => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

fn decimal(precision: u8, scale: u8) -> Option<DataType> {
    if precision == 0 || scale > precision || precision > DECIMAL256_MAX_PRECISION {
        return None;
    }
    let scale = i8::try_from(scale).ok()?;
    Some(if precision <= DECIMAL128_MAX_PRECISION {
        DataType::Decimal128(precision, scale)
    } else {
        DataType::Decimal256(precision, scale)
    })
}

fn unit(precision: u8) -> Option<TimeUnit> {
    match precision {
        0 => Some(TimeUnit::Second),
        3 => Some(TimeUnit::Millisecond),
        6 => Some(TimeUnit::Microsecond),
        9 => Some(TimeUnit::Nanosecond),
        _ => None,
    }
}
