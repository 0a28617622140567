//! `information_schema.views`: every stored query, without planning one.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::entry::Body;
use crate::catalog::listing::Listed;
use crate::catalog::rows::{ColumnOf, Value, VirtualTable};

const COLUMNS: &[ColumnOf<Listed>] = &[
    ColumnOf::text("table_catalog", "the catalog", |row| row.catalog.as_ref().into()),
    ColumnOf::text("table_schema", "the schema", |row| row.schema.as_ref().into()),
    ColumnOf::text("table_name", "the view", |row| row.name.as_ref().into()),
    ColumnOf::text("view_definition", "its query", |row| sql(row).into()),
    ColumnOf::text("check_option", "always NONE", |_| "NONE".into()),
    ColumnOf::text("is_updatable", "always NO", |_| Value::yes(false)),
    ColumnOf::text("is_insertable_into", "always NO", |_| Value::yes(false)),
    ColumnOf::text("is_trigger_updatable", "always NO", |_| Value::yes(false)),
    ColumnOf::text("is_trigger_deletable", "always NO", |_| Value::yes(false)),
    ColumnOf::text("is_trigger_insertable_into", "always NO", |_| Value::yes(false)),
    ColumnOf::text("definition", "the statement that would make it again", |row| row.definition().into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| {
        let catalogs = catalogs.clone();
        async move {
            let mut listed = catalogs.listed().await;
            listed.retain(|row| sql(row).is_some());
            listed
        }
        .boxed()
    })
}

fn sql(row: &Listed) -> Option<&str> {
    match &row.entry.as_ref()?.body {
        Body::View(view) => Some(&view.sql),
        Body::External(_) | Body::Memory(_) => None,
    }
}
