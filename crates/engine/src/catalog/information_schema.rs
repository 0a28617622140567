//! `information_schema`, in every catalog: the tables of the SQL standard, with PostgreSQL's names and types. It covers all
//! catalogs, whichever it is asked in, and only `columns` ever opens a table.

mod columns;
mod constraints;
mod routines;
mod schemata;
mod tables;
mod views;

use super::VirtualSchema;

/// The schema and its tables, one file each.
pub(super) const SCHEMA: VirtualSchema = VirtualSchema {
    name: "information_schema",
    tables: &[
        ("check_constraints", constraints::check_constraints),
        ("columns", columns::table),
        ("key_column_usage", constraints::key_column_usage),
        ("routines", routines::table),
        ("schemata", schemata::table),
        ("table_constraints", constraints::table_constraints),
        ("tables", tables::table),
        ("views", views::table),
    ],
};
