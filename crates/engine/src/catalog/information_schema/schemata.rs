//! `information_schema.schemata`: every schema of every catalog.

use futures::FutureExt;

use crate::catalog::rows::{ColumnOf, Value, VirtualTable};
use crate::catalog::{SessionCatalogs, VIRTUAL_SCHEMAS};

struct Schema {
    catalog: String,
    name: String,
}

const COLUMNS: &[ColumnOf<Schema>] = &[
    ColumnOf::text("catalog_name", "the catalog", |row| row.catalog.as_str().into()),
    ColumnOf::text("schema_name", "the schema", |row| row.name.as_str().into()),
    ColumnOf::text("schema_owner", "always null: schemas have no owner", |_| Value::Null),
    ColumnOf::text("default_character_set_catalog", "always null", |_| Value::Null),
    ColumnOf::text("default_character_set_schema", "always null", |_| Value::Null),
    ColumnOf::text("default_character_set_name", "always null: text is UTF-8", |_| Value::Null),
    ColumnOf::text("sql_path", "always null", |_| Value::Null),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| std::future::ready(rows(&catalogs)).boxed())
}

fn rows(catalogs: &SessionCatalogs) -> Vec<Schema> {
    let mut rows = Vec::new();
    for (catalog, node) in &catalogs.tree().catalogs {
        let names = node.schemas.keys().map(AsRef::as_ref).chain(VIRTUAL_SCHEMAS);
        rows.extend(names.map(|name| Schema { catalog: catalog.to_string(), name: name.to_owned() }));
    }
    rows
}
