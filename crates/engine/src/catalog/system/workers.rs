//! `system.workers`: the processes that compute tasks.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::rows::{ColumnOf, VirtualTable};
use crate::run::WorkerInfo;

const COLUMNS: &[ColumnOf<WorkerInfo>] = &[
    ColumnOf::text("id", "its id; local is this process", |row| row.id.as_str().into()),
    ColumnOf::text("address", "where it is reached; NULL for this process", |row| row.address.as_deref().into()),
    ColumnOf::text("state", "active, draining or lost", |row| row.state.name().into()),
    ColumnOf::text("version", "the version it runs", |row| row.version.as_str().into()),
    ColumnOf::bigint("slots", "tasks that it computes at once", |row| row.slots.into()),
    ColumnOf::bigint("slots_free", "slots without a task", |row| row.slots_free.into()),
    ColumnOf::bigint("tasks_running", "tasks that it computes now", |row| row.tasks_running.into()),
    ColumnOf::bigint("memory_limit_bytes", "bytes of memory that its tasks may use", |row| row.memory_bytes.into()),
    ColumnOf::bigint("memory_bytes", "bytes of memory that its tasks use", |row| row.memory_used.into()),
    ColumnOf::bigint("disk_limit_bytes", "bytes of disk that its tasks may use", |row| row.disk_bytes.into()),
    ColumnOf::bigint("disk_bytes", "bytes of disk that its tasks use", |row| row.disk_used.into()),
    ColumnOf::timestamp("last_seen", "when it was last heard of", |row| row.last_seen.into()),
    ColumnOf::timestamp("joined_at", "when it joined", |row| row.joined_at.into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| std::future::ready(catalogs.scope().census.workers()).boxed())
}
