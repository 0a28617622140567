//! `information_schema.table_constraints` and `key_column_usage`: there, because tools join them, and empty, because no
//! table has keys.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::rows::{ColumnOf, Value, VirtualTable};

/// No value of this type exists.
enum Constraint {}

const TABLE_CONSTRAINTS: &[ColumnOf<Constraint>] = &[
    ColumnOf::text("constraint_catalog", "the catalog", |_| Value::Null),
    ColumnOf::text("constraint_schema", "the schema", |_| Value::Null),
    ColumnOf::text("constraint_name", "the constraint", |_| Value::Null),
    ColumnOf::text("table_catalog", "the table's catalog", |_| Value::Null),
    ColumnOf::text("table_schema", "the table's schema", |_| Value::Null),
    ColumnOf::text("table_name", "the table", |_| Value::Null),
    ColumnOf::text("constraint_type", "CHECK, FOREIGN KEY, PRIMARY KEY or UNIQUE", |_| Value::Null),
    ColumnOf::text("is_deferrable", "YES or NO", |_| Value::Null),
    ColumnOf::text("initially_deferred", "YES or NO", |_| Value::Null),
    ColumnOf::text("enforced", "YES or NO", |_| Value::Null),
];

const KEY_COLUMN_USAGE: &[ColumnOf<Constraint>] = &[
    ColumnOf::text("constraint_catalog", "the catalog", |_| Value::Null),
    ColumnOf::text("constraint_schema", "the schema", |_| Value::Null),
    ColumnOf::text("constraint_name", "the constraint", |_| Value::Null),
    ColumnOf::text("table_catalog", "the table's catalog", |_| Value::Null),
    ColumnOf::text("table_schema", "the table's schema", |_| Value::Null),
    ColumnOf::text("table_name", "the table", |_| Value::Null),
    ColumnOf::text("column_name", "the column", |_| Value::Null),
    ColumnOf::integer("ordinal_position", "its place in the constraint, from 1", |_| Value::Null),
    ColumnOf::integer("position_in_unique_constraint", "its place in the referenced key", |_| Value::Null),
];

pub(super) fn table_constraints(_catalogs: &SessionCatalogs) -> VirtualTable {
    VirtualTable::new(TABLE_CONSTRAINTS, |_| std::future::ready(Vec::new()).boxed())
}

pub(super) fn key_column_usage(_catalogs: &SessionCatalogs) -> VirtualTable {
    VirtualTable::new(KEY_COLUMN_USAGE, |_| std::future::ready(Vec::new()).boxed())
}
