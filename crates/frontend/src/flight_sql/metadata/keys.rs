//! `GetPrimaryKeys`, and the commands about foreign keys, which no table has.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::CommandGetPrimaryKeys;

use crate::flight_sql::caller::Caller;
use crate::flight_sql::door::Door;
use crate::flight_sql::failure::Result;

static PRIMARY: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("key_name", DataType::Utf8, true),
    ]))
});

static FOREIGN: LazyLock<SchemaRef> = LazyLock::new(|| {
    let of = |side: &str| {
        [("catalog_name", true), ("db_schema_name", true), ("table_name", false), ("column_name", false)]
            .map(|(name, nullable)| Field::new(format!("{side}_{name}"), DataType::Utf8, nullable))
    };
    let mut fields: Vec<Field> = of("pk").into_iter().chain(of("fk")).collect();
    fields.extend([
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]);
    Arc::new(Schema::new(fields))
});

pub(super) fn primary_schema() -> SchemaRef {
    Arc::clone(&PRIMARY)
}

pub(super) fn foreign_schema() -> SchemaRef {
    Arc::clone(&FOREIGN)
}

pub(super) async fn primary(_door: &Door, _caller: &Caller, _command: &CommandGetPrimaryKeys) -> Result<RecordBatch> {
    Ok(RecordBatch::new_empty(primary_schema()))
}

pub(super) fn no_foreign() -> RecordBatch {
    RecordBatch::new_empty(foreign_schema())
}
