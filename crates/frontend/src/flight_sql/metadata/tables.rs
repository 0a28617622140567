//! `GetTables` and `GetTableTypes`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::CommandGetTables;
use bytes::Bytes;
use tidemill_engine::catalog::{TableEntryInfo, TableKind};

use super::pattern::Pattern;
use super::{columns, schemas, table};
use crate::flight_sql::caller::Caller;
use crate::flight_sql::describe::schema_message;
use crate::flight_sql::door::Door;
use crate::flight_sql::failure::Result;

/// The types of tables, as JDBC names them.
const TYPES: [&str; 3] = ["SYSTEM TABLE", "TABLE", "VIEW"];

static NAMES: LazyLock<Vec<Field>> = LazyLock::new(|| {
    vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("table_type", DataType::Utf8, false),
    ]
});
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(NAMES.clone())));
static SCHEMA_WITH_SCHEMAS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = NAMES.clone();
    fields.push(Field::new("table_schema", DataType::Binary, false));
    Arc::new(Schema::new(fields))
});
static TYPES_SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("table_type", DataType::Utf8, false)])));

pub(super) fn schema(include_schema: bool) -> SchemaRef {
    Arc::clone(if include_schema { &SCHEMA_WITH_SCHEMAS } else { &SCHEMA })
}

pub(super) fn types_schema() -> SchemaRef {
    Arc::clone(&TYPES_SCHEMA)
}

pub(super) fn types() -> Result<RecordBatch> {
    table(types_schema(), vec![Arc::new(StringArray::from(TYPES.to_vec()))])
}

/// One row of the answer.
struct Row {
    catalog: String,
    schema: String,
    name: String,
    table_type: &'static str,
    table_schema: Bytes,
}

pub(super) async fn batch(door: &Door, caller: &Caller, command: &CommandGetTables) -> Result<RecordBatch> {
    let rows = rows(door, caller, command).await?;
    let column =
        |value: fn(&Row) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(value))) };
    let mut columns = vec![
        column(|row| &row.catalog),
        column(|row| &row.schema),
        column(|row| &row.name),
        column(|row| row.table_type),
    ];
    if command.include_schema {
        columns.push(Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.table_schema))));
    }
    table(schema(command.include_schema), columns)
}

async fn rows(door: &Door, caller: &Caller, command: &CommandGetTables) -> Result<Vec<Row>> {
    let pattern = command.table_name_filter_pattern.as_deref().map(Pattern::new);
    let wanted: Vec<&str> = command.table_types.iter().filter_map(|name| known_type(name)).collect();
    let none_known = !command.table_types.is_empty() && wanted.is_empty();
    let mut rows = Vec::new();
    let places = schemas::find(door, caller, command.catalog.as_deref(), command.db_schema_filter_pattern.as_deref());
    for (catalog, schema) in places.into_iter().filter(|_| !none_known) {
        // A schema that was dropped since has no tables.
        let tables = door.engine.catalogs().tables(&caller.principal, &catalog, &schema).await.unwrap_or_default();
        for TableEntryInfo { name, kind, .. } in tables {
            let table_type = type_name(kind);
            if !Pattern::admits(pattern.as_ref(), &name) || !wanted.is_empty() && !wanted.contains(&table_type) {
                continue;
            }
            let row = |table_schema| Row {
                catalog: catalog.clone(),
                schema: schema.clone(),
                name: name.clone(),
                table_type,
                table_schema,
            };
            if !command.include_schema {
                rows.push(row(Bytes::new()));
                continue;
            }
            // The schema may not be missing, so that a table that can not be opened is left out.
            match columns::schema_of(caller, &catalog, &schema, &name).await? {
                Some(schema) => rows.push(row(schema_message(&schema)?)),
                None => {
                    tracing::warn!(catalog, schema, table = name, "left a broken table out of a listing with schemas")
                }
            }
        }
    }
    // Drivers that ask for one table read the first row: it is the one that the name stands for in a statement.
    let session = caller.session().info();
    rows.sort_by_cached_key(|row| {
        let elsewhere = (row.catalog != session.catalog, row.schema != session.schema);
        (!Pattern::is(pattern.as_ref(), &row.name), elsewhere)
    });
    Ok(rows)
}

fn type_name(kind: TableKind) -> &'static str {
    match kind {
        TableKind::External | TableKind::Memory => "TABLE",
        TableKind::View => "VIEW",
        TableKind::System => "SYSTEM TABLE",
    }
}

/// The type by any of the names that drivers use for it.
fn known_type(name: &str) -> Option<&'static str> {
    if name.eq_ignore_ascii_case("BASE TABLE") {
        return Some("TABLE");
    }
    TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(name))
}
