//! `information_schema.table_constraints`, `key_column_usage` and `check_constraints`: what holds for the rows of tables in
//! memory. All of it is enforced, at the end of each statement.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::entry::Body;
use crate::catalog::listing::Listed;
use crate::catalog::memory::ConstraintInfo;
use crate::catalog::rows::{ColumnOf, Value, VirtualTable};

/// A constraint of a table.
#[derive(Clone)]
struct Constraint {
    table: Listed,
    info: ConstraintInfo,
}

/// A column of a key.
struct KeyColumn {
    of: Constraint,
    name: String,
    /// From 1.
    position: i64,
}

const TABLE_CONSTRAINTS: &[ColumnOf<Constraint>] = &[
    ColumnOf::text("constraint_catalog", "the catalog", |row| row.table.catalog.as_ref().into()),
    ColumnOf::text("constraint_schema", "the schema", |row| row.table.schema.as_ref().into()),
    ColumnOf::text("constraint_name", "the constraint", |row| row.info.name.as_str().into()),
    ColumnOf::text("table_catalog", "the table's catalog", |row| row.table.catalog.as_ref().into()),
    ColumnOf::text("table_schema", "the table's schema", |row| row.table.schema.as_ref().into()),
    ColumnOf::text("table_name", "the table", |row| row.table.name.as_ref().into()),
    ColumnOf::text("constraint_type", "CHECK, PRIMARY KEY or UNIQUE", |row| row.info.kind.standard_name().into()),
    ColumnOf::text("is_deferrable", "always NO", |_| Value::yes(false)),
    ColumnOf::text("initially_deferred", "always NO", |_| Value::yes(false)),
    ColumnOf::text("enforced", "always YES", |_| Value::yes(true)),
];

const KEY_COLUMN_USAGE: &[ColumnOf<KeyColumn>] = &[
    ColumnOf::text("constraint_catalog", "the catalog", |row| row.of.table.catalog.as_ref().into()),
    ColumnOf::text("constraint_schema", "the schema", |row| row.of.table.schema.as_ref().into()),
    ColumnOf::text("constraint_name", "the constraint", |row| row.of.info.name.as_str().into()),
    ColumnOf::text("table_catalog", "the table's catalog", |row| row.of.table.catalog.as_ref().into()),
    ColumnOf::text("table_schema", "the table's schema", |row| row.of.table.schema.as_ref().into()),
    ColumnOf::text("table_name", "the table", |row| row.of.table.name.as_ref().into()),
    ColumnOf::text("column_name", "the column", |row| row.name.as_str().into()),
    ColumnOf::integer("ordinal_position", "its place in the constraint, from 1", |row| row.position.into()),
    ColumnOf::integer("position_in_unique_constraint", "always null: there are no foreign keys", |_| Value::Null),
];

const CHECK_CONSTRAINTS: &[ColumnOf<Constraint>] = &[
    ColumnOf::text("constraint_catalog", "the catalog", |row| row.table.catalog.as_ref().into()),
    ColumnOf::text("constraint_schema", "the schema", |row| row.table.schema.as_ref().into()),
    ColumnOf::text("constraint_name", "the constraint", |row| row.info.name.as_str().into()),
    ColumnOf::text("check_clause", "its condition, as SQL", |row| row.info.check.clone().into()),
];

pub(super) fn table_constraints(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(TABLE_CONSTRAINTS, move |_| {
        let catalogs = catalogs.clone();
        async move { constraints(&catalogs).await }.boxed()
    })
}

pub(super) fn key_column_usage(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(KEY_COLUMN_USAGE, move |_| {
        let catalogs = catalogs.clone();
        async move { constraints(&catalogs).await.into_iter().flat_map(key_columns).collect() }.boxed()
    })
}

pub(super) fn check_constraints(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(CHECK_CONSTRAINTS, move |_| {
        let catalogs = catalogs.clone();
        async move {
            let mut constraints = constraints(&catalogs).await;
            constraints.retain(|constraint| constraint.info.check.is_some());
            constraints
        }
        .boxed()
    })
}

async fn constraints(catalogs: &SessionCatalogs) -> Vec<Constraint> {
    let mut all = Vec::new();
    for table in catalogs.listed().await {
        let Some(entry) = &table.entry else { continue };
        let Body::Memory(memory) = &entry.body else { continue };
        let of_table = memory.shape().constraints();
        all.extend(of_table.into_iter().map(|info| Constraint { table: table.clone(), info }));
    }
    all
}

fn key_columns(of: Constraint) -> Vec<KeyColumn> {
    let columns = of.info.columns.clone();
    columns.into_iter().zip(1..).map(|(name, position)| KeyColumn { of: of.clone(), name, position }).collect()
}
