//! `information_schema.tables`: every table and view, without opening one.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::entry::TableKind;
use crate::catalog::listing::Listed;
use crate::catalog::rows::{ColumnOf, Value, VirtualTable};

const COLUMNS: &[ColumnOf<Listed>] = &[
    ColumnOf::text("table_catalog", "the catalog", |row| row.catalog.as_ref().into()),
    ColumnOf::text("table_schema", "the schema", |row| row.schema.as_ref().into()),
    ColumnOf::text("table_name", "the table or view", |row| row.name.as_ref().into()),
    ColumnOf::text("table_type", "BASE TABLE, VIEW or LOCAL TEMPORARY", |row| {
        if row.temporary { "LOCAL TEMPORARY" } else { row.kind.standard_name() }.into()
    }),
    ColumnOf::text("self_referencing_column_name", "always null", |_| Value::Null),
    ColumnOf::text("reference_generation", "always null", |_| Value::Null),
    ColumnOf::text("is_insertable_into", "YES if INSERT can work", |row| {
        Value::yes(matches!(row.kind, TableKind::External | TableKind::Memory))
    }),
    ColumnOf::text("is_typed", "always NO", |_| Value::yes(false)),
    ColumnOf::text("commit_action", "always null", |_| Value::Null),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| {
        let catalogs = catalogs.clone();
        async move { catalogs.listed().await }.boxed()
    })
}
