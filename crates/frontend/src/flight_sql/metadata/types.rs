//! `GetXdbcTypeInfo`: the types of SQL as ODBC and JDBC count them.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

use super::ours;
use crate::flight_sql::failure::Result;

/// The largest text and the largest binary value, in bytes.
const LONGEST: i32 = i32::MAX;

static DATA: LazyLock<Result<XdbcTypeInfoData, FlightError>> = LazyLock::new(|| {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for info in all() {
        builder.append(info);
    }
    builder.build()
});

pub(super) fn schema() -> Result<SchemaRef> {
    Ok(data()?.schema())
}

pub(super) fn batch(data_type: Option<i32>) -> Result<RecordBatch> {
    data()?.record_batch(data_type).map_err(ours)
}

fn data() -> Result<&'static XdbcTypeInfoData> {
    DATA.as_ref().map_err(|error| ours(std::io::Error::other(error.to_string())))
}

fn all() -> Vec<XdbcTypeInfo> {
    let mut types = vec![
        base("BOOLEAN", XdbcDataType::XdbcBit, 1),
        integer("TINYINT", XdbcDataType::XdbcTinyint, 3, false),
        integer("BIGINT", XdbcDataType::XdbcBigint, 19, false),
        integer("BIGINT UNSIGNED", XdbcDataType::XdbcBigint, 20, true),
        quoted(base("BYTEA", XdbcDataType::XdbcVarbinary, LONGEST), "X'"),
        text("TEXT", XdbcDataType::XdbcLongvarchar, None),
        text("CHAR", XdbcDataType::XdbcChar, Some("length")),
        decimal("DECIMAL", XdbcDataType::XdbcDecimal),
        decimal("NUMERIC", XdbcDataType::XdbcNumeric),
        integer("INTEGER", XdbcDataType::XdbcInteger, 10, false),
        integer("INTEGER UNSIGNED", XdbcDataType::XdbcInteger, 10, true),
        integer("SMALLINT", XdbcDataType::XdbcSmallint, 5, false),
        integer("SMALLINT UNSIGNED", XdbcDataType::XdbcSmallint, 5, true),
        float("REAL", XdbcDataType::XdbcReal, 7),
        float("DOUBLE", XdbcDataType::XdbcDouble, 15),
        float("FLOAT", XdbcDataType::XdbcFloat, 15),
        text("VARCHAR", XdbcDataType::XdbcVarchar, Some("length")),
        time("DATE", XdbcDataType::XdbcDate, 10, None, XdbcDatetimeSubcode::XdbcSubcodeYear),
        time("TIME", XdbcDataType::XdbcTime, 18, Some(9), XdbcDatetimeSubcode::XdbcSubcodeTime),
        time("TIMESTAMP", XdbcDataType::XdbcTimestamp, 29, Some(9), XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        quoted(base("INTERVAL", XdbcDataType::XdbcInterval, 64), "'"),
    ];
    // By their number, as the protocol wants.
    types.sort_by_key(|info| info.data_type as i32);
    types
}

fn base(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        local_type_name: Some(name.to_owned()),
        sql_data_type: data_type,
        ..XdbcTypeInfo::default()
    }
}

fn quoted(info: XdbcTypeInfo, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo { literal_prefix: Some(prefix.to_owned()), literal_suffix: Some("'".to_owned()), ..info }
}

fn text(name: &str, data_type: XdbcDataType, parameter: Option<&str>) -> XdbcTypeInfo {
    let create_params = parameter.map(|parameter| vec![parameter.to_owned()]);
    XdbcTypeInfo { create_params, case_sensitive: true, ..quoted(base(name, data_type, LONGEST), "'") }
}

fn number(info: XdbcTypeInfo, radix: i32) -> XdbcTypeInfo {
    XdbcTypeInfo { unsigned_attribute: Some(false), auto_increment: Some(false), num_prec_radix: Some(radix), ..info }
}

fn integer(name: &str, data_type: XdbcDataType, digits: i32, unsigned: bool) -> XdbcTypeInfo {
    let scales = (Some(0), Some(0));
    XdbcTypeInfo {
        unsigned_attribute: Some(unsigned),
        fixed_prec_scale: true,
        minimum_scale: scales.0,
        maximum_scale: scales.1,
        ..number(base(name, data_type, digits), 10)
    }
}

fn decimal(name: &str, data_type: XdbcDataType) -> XdbcTypeInfo {
    XdbcTypeInfo {
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        minimum_scale: Some(0),
        maximum_scale: Some(76),
        ..number(base(name, data_type, 76), 10)
    }
}

fn float(name: &str, data_type: XdbcDataType, digits: i32) -> XdbcTypeInfo {
    number(base(name, data_type, digits), 10)
}

fn time(
    name: &str,
    data_type: XdbcDataType,
    size: i32,
    digits: Option<i32>,
    subcode: XdbcDatetimeSubcode,
) -> XdbcTypeInfo {
    XdbcTypeInfo {
        minimum_scale: digits.map(|_| 0),
        maximum_scale: digits,
        // In ODBC the verbose type is the same for all three, and the subcode tells them apart.
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        ..quoted(base(name, data_type, size), "'")
    }
}
