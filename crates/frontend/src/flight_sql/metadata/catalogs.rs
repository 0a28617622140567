//! `GetCatalogs`.

use std::sync::{Arc, LazyLock};

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::table;
use crate::flight_sql::caller::Caller;
use crate::flight_sql::door::Door;
use crate::flight_sql::failure::Result;

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("catalog_name", DataType::Utf8, false)])));

pub(super) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

pub(super) fn batch(door: &Door, caller: &Caller) -> Result<RecordBatch> {
    let names = door.engine.catalogs().catalog_names(&caller.principal);
    table(schema(), vec![Arc::new(StringArray::from(names))])
}
