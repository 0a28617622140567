//! `information_schema.routines`: the functions that SQL can call.

use futures::FutureExt;

use crate::catalog::census::FunctionInfo;
use crate::catalog::rows::{ColumnOf, Value, VirtualTable};
use crate::catalog::{DEFAULT_CATALOG, SessionCatalogs};

/// Functions belong to no schema; tools expect one.
const SCHEMA: &str = "pg_catalog";

const COLUMNS: &[ColumnOf<FunctionInfo>] = &[
    ColumnOf::text("specific_catalog", "the catalog", |_| DEFAULT_CATALOG.into()),
    ColumnOf::text("specific_schema", "the schema", |_| SCHEMA.into()),
    ColumnOf::text("specific_name", "the function", |row| row.name.as_str().into()),
    ColumnOf::text("routine_catalog", "the catalog", |_| DEFAULT_CATALOG.into()),
    ColumnOf::text("routine_schema", "the schema", |_| SCHEMA.into()),
    ColumnOf::text("routine_name", "the function", |row| row.name.as_str().into()),
    ColumnOf::text("routine_type", "always FUNCTION", |_| "FUNCTION".into()),
    ColumnOf::text("data_type", "what it returns, if always the same", |row| row.return_type.clone().into()),
    ColumnOf::text("routine_body", "always EXTERNAL", |_| "EXTERNAL".into()),
    ColumnOf::text("routine_definition", "always null", |_| Value::Null),
    ColumnOf::text("function_type", "SCALAR, AGGREGATE, WINDOW or TABLE", |row| row.kind.name().to_uppercase().into()),
    ColumnOf::text("description", "what it does", |row| row.description.clone().into()),
    ColumnOf::text("syntax_example", "how to call it", |row| format!("{}({})", row.name, row.arguments).into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| std::future::ready(catalogs.scope().census.functions()).boxed())
}
