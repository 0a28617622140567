//! `GetDbSchemas`.

use std::sync::{Arc, LazyLock};

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::CommandGetDbSchemas;

use super::pattern::Pattern;
use super::table;
use crate::flight_sql::caller::Caller;
use crate::flight_sql::door::Door;
use crate::flight_sql::failure::Result;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, false),
    ]))
});

pub(super) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

pub(super) fn batch(door: &Door, caller: &Caller, command: &CommandGetDbSchemas) -> Result<RecordBatch> {
    let found = find(door, caller, command.catalog.as_deref(), command.db_schema_filter_pattern.as_deref());
    let (catalogs, schemas): (Vec<String>, Vec<String>) = found.into_iter().unzip();
    table(schema(), vec![Arc::new(StringArray::from(catalogs)), Arc::new(StringArray::from(schemas))])
}

/// Catalogs and schemas, by name; the schema that is named exactly comes first.
pub(super) fn find(
    door: &Door,
    caller: &Caller,
    catalog: Option<&str>,
    schema_pattern: Option<&str>,
) -> Vec<(String, String)> {
    let catalogs = door.engine.catalogs();
    let pattern = schema_pattern.map(Pattern::new);
    let mut found = Vec::new();
    for name in catalogs.catalog_names(&caller.principal) {
        if catalog.is_some_and(|wanted| wanted != name) {
            continue;
        }
        // A catalog that was dropped since has no schemas.
        let schemas = catalogs.schema_names(&caller.principal, &name).unwrap_or_default();
        let schemas = schemas.into_iter().filter(|schema| Pattern::admits(pattern.as_ref(), schema));
        found.extend(schemas.map(|schema| (name.clone(), schema)));
    }
    found.sort_by_cached_key(|(catalog, schema)| {
        (!Pattern::is(pattern.as_ref(), schema), catalog.clone(), schema.clone())
    });
    found
}
