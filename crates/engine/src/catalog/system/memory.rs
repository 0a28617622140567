//! `system.memory`: who holds how much memory.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::census::MemoryInfo;
use crate::catalog::rows::{ColumnOf, VirtualTable};

const COLUMNS: &[ColumnOf<MemoryInfo>] = &[
    ColumnOf::text("scope", "pool, query or table", |row| row.scope.name().into()),
    ColumnOf::text("name", "the pool's name, the query's id or the table's full name", |row| row.name.as_str().into()),
    ColumnOf::bigint("used_bytes", "bytes held now", |row| row.used_bytes.into()),
    ColumnOf::bigint("peak_bytes", "the most bytes held at once, if tracked", |row| row.peak_bytes.into()),
    ColumnOf::bigint("limit_bytes", "the most bytes it may hold, if bounded by itself", |row| row.limit_bytes.into()),
    ColumnOf::bigint("spilled_bytes", "bytes on disk for want of memory", |row| row.spilled_bytes.into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| {
        let scope = catalogs.scope();
        std::future::ready(scope.census.memory(&scope.principal)).boxed()
    })
}
