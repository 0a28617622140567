//! `GetPrimaryKeys`, for the tables that have them, and the commands about foreign keys, which no table has.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::CommandGetPrimaryKeys;
use tidemill_engine::catalog::PrimaryKey;

use super::table;
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

/// One row for each column of a key, numbered from 1.
pub(super) fn primary(door: &Door, caller: &Caller, command: &CommandGetPrimaryKeys) -> Result<RecordBatch> {
    let CommandGetPrimaryKeys { catalog, db_schema, table: name } = command;
    let catalogs = door.engine.catalogs();
    let keys = catalogs.primary_keys(&caller.principal, catalog.as_deref(), db_schema.as_deref(), name);
    let rows: Vec<(&PrimaryKey, &str, i32)> = keys
        .iter()
        .flat_map(|key| (1..).zip(&key.columns).map(move |(at, column)| (key, column.as_str(), at)))
        .collect();
    let of_key = |value: fn(&PrimaryKey) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _, _)| value(key))))
    };
    table(
        primary_schema(),
        vec![
            of_key(|key| &key.catalog),
            of_key(|key| &key.schema),
            of_key(|key| &key.table),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, column, _)| column))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, _, at)| *at))),
            of_key(|key| &key.name),
        ],
    )
}

pub(super) fn no_foreign() -> RecordBatch {
    RecordBatch::new_empty(foreign_schema())
}
