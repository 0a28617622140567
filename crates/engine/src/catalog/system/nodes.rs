//! `system.nodes`: the processes that make up the server.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::census::NodeInfo;
use crate::catalog::rows::{ColumnOf, VirtualTable};

const COLUMNS: &[ColumnOf<NodeInfo>] = &[
    ColumnOf::text("id", "its id", |row| row.id.as_str().into()),
    ColumnOf::text("role", "single, coordinator or worker", |row| row.role.as_str().into()),
    ColumnOf::text("address", "where it can be reached, if it can", |row| row.address.clone().into()),
    ColumnOf::text("version", "the version it runs", |row| row.version.as_str().into()),
    ColumnOf::text("state", "ready, draining or lost", |row| row.state.as_str().into()),
    ColumnOf::bigint("cpu_threads", "threads that run queries", |row| row.cpu_threads.into()),
    ColumnOf::bigint("memory_limit_bytes", "bytes that its queries may use", |row| row.memory_limit_bytes.into()),
    ColumnOf::timestamp("started_at", "when it started", |row| row.started_at.into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| std::future::ready(catalogs.scope().census.nodes()).boxed())
}
