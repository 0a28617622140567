//! `system.functions`: the functions that SQL can call.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::census::FunctionInfo;
use crate::catalog::rows::{ColumnOf, VirtualTable};

const COLUMNS: &[ColumnOf<FunctionInfo>] = &[
    ColumnOf::text("name", "its name", |row| row.name.as_str().into()),
    ColumnOf::text("kind", "scalar, aggregate, window or table", |row| row.kind.name().into()),
    ColumnOf::text("arguments", "its arguments, as a signature to read", |row| row.arguments.as_str().into()),
    ColumnOf::text("return_type", "what it returns, if always the same", |row| row.return_type.clone().into()),
    ColumnOf::text("description", "what it does", |row| row.description.clone().into()),
    ColumnOf::text("example", "a call that works as it stands", |row| row.example.clone().into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| std::future::ready(catalogs.scope().census.functions()).boxed())
}
