//! The schema of a table as `GetTables` tells it: Arrow fields with what SQL knows about columns in their metadata.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use tidemill_engine::catalog::{ColumnInfo, TableDetail};

use crate::flight_sql::caller::Caller;
use crate::flight_sql::failure::Result;

/// The schema of a table; none if it can not be opened or is gone.
pub(super) async fn schema_of(caller: &Caller, catalog: &str, schema: &str, name: &str) -> Result<Option<Schema>> {
    let Ok(detail) = caller.session().table_detail(catalog, schema, name).await else { return Ok(None) };
    let Some(arrow) = &detail.arrow_schema else { return Ok(None) };
    let fields = arrow.fields().iter().zip(&detail.columns);
    Ok(Some(Schema::new(fields.map(|(field, column)| described(field, column, &detail)).collect::<Vec<_>>())))
}

/// The keys are those of the protocol: <https://arrow.apache.org/docs/format/FlightSql.html#column-metadata>.
fn described(field: &Field, column: &ColumnInfo, table: &TableDetail) -> Field {
    let mut metadata = HashMap::new();
    let mut tell = |key: &str, value: String| metadata.insert(format!("ARROW:FLIGHT:SQL:{key}"), value);
    tell("CATALOG_NAME", table.catalog.clone());
    tell("SCHEMA_NAME", table.schema.clone());
    tell("TABLE_NAME", table.name.clone());
    // As `GetXdbcTypeInfo` names it; precision and scale are told apart.
    let name = if column.sql_type.starts_with("DECIMAL(") { "DECIMAL" } else { &column.sql_type };
    tell("TYPE_NAME", name.to_owned());
    if let Some((precision, scale)) = precision(field.data_type()) {
        tell("PRECISION", precision.to_string());
        tell("SCALE", scale.to_string());
    }
    let text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    for (key, truth) in
        [("IS_AUTO_INCREMENT", false), ("IS_CASE_SENSITIVE", text), ("IS_READ_ONLY", false), ("IS_SEARCHABLE", true)]
    {
        tell(key, u8::from(truth).to_string());
    }
    if let Some(comment) = &column.comment {
        tell("REMARKS", comment.clone());
    }
    Field::new(field.name(), field.data_type().clone(), field.is_nullable()).with_metadata(metadata)
}

/// Decimal digits in all and after the point, for types that have them.
fn precision(data_type: &DataType) -> Option<(u32, i32)> {
    let fraction = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some((3, 0)),
        DataType::Int16 | DataType::UInt16 => Some((5, 0)),
        DataType::Int32 | DataType::UInt32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        DataType::Float16 => Some((3, 0)),
        DataType::Float32 => Some((7, 0)),
        DataType::Float64 => Some((15, 0)),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((u32::from(*precision), i32::from(*scale))),
        DataType::Time32(unit) | DataType::Time64(unit) => Some((9 + fraction(unit), fraction(unit) as i32)),
        DataType::Timestamp(unit, _) => Some((20 + fraction(unit), fraction(unit) as i32)),
        _ => None,
    }
}
