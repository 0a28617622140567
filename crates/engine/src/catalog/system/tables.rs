//! `system.tables`: every table of every catalog and how it fares, without opening one.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::entry::Body;
use crate::catalog::listing::Listed;
use crate::catalog::rows::{ColumnOf, Value, VirtualTable};

const COLUMNS: &[ColumnOf<Listed>] = &[
    ColumnOf::text("catalog", "the catalog", |row| row.catalog.as_ref().into()),
    ColumnOf::text("schema", "the schema", |row| row.schema.as_ref().into()),
    ColumnOf::text("name", "the table", |row| row.name.as_ref().into()),
    ColumnOf::text("kind", "external, memory, view or system", |row| row.kind.name().into()),
    ColumnOf::boolean("temporary", "whether it belongs to this session alone", |row| row.temporary.into()),
    ColumnOf::text("status", "unopened, open or broken", |row| row.status.name().into()),
    ColumnOf::text("error", "why it is broken", |row| row.error.clone().into()),
    ColumnOf::text("location", "URLs or paths of its files, as JSON", |row| match &row.entry {
        Some(entry) if !entry.location().is_empty() => Value::json(&entry.location()),
        Some(_) | None => Value::Null,
    }),
    ColumnOf::bigint("rows", "its rows, if it is in memory", |row| in_memory(row).map(|(rows, _)| rows).into()),
    ColumnOf::bigint("memory_bytes", "its bytes, if it is in memory", |row| {
        in_memory(row).map(|(_, bytes)| bytes).into()
    }),
    ColumnOf::text("definition", "the statement that would make it again", |row| row.definition().into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| {
        let catalogs = catalogs.clone();
        async move { catalogs.listed().await }.boxed()
    })
}

/// Rows and bytes.
fn in_memory(row: &Listed) -> Option<(u64, u64)> {
    match &row.entry.as_ref()?.body {
        Body::Memory(table) => Some((u64::try_from(table.rows()).ok()?, u64::try_from(table.bytes()).ok()?)),
        Body::External(_) | Body::View(_) => None,
    }
}
