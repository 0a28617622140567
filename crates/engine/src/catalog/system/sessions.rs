//! `system.sessions`: the open sessions.

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::rows::{ColumnOf, Value, VirtualTable};
use crate::session::SessionInfo;

const COLUMNS: &[ColumnOf<SessionInfo>] = &[
    ColumnOf::text("id", "its id", |row| row.id.as_str().into()),
    ColumnOf::text("principal", "whose it is", |row| row.principal.as_str().into()),
    ColumnOf::text("catalog", "the catalog of unqualified names", |row| row.catalog.as_str().into()),
    ColumnOf::text("schema", "the schema of unqualified names", |row| row.schema.as_str().into()),
    ColumnOf::text("time_zone", "the time zone of timestamps", |row| row.time_zone.as_str().into()),
    ColumnOf::timestamp("created_at", "when it was opened", |row| row.created_at.into()),
    ColumnOf::timestamp("last_used_at", "when it was last used", |row| row.last_used_at.into()),
    ColumnOf::timestamp("expires_at", "when it closes unless it is used", |row| row.expires_at.into()),
    ColumnOf::text("settings", "settings that differ from the defaults, as JSON", |row| Value::json(&row.settings)),
    ColumnOf::text("prepared_statements", "names of prepared statements, as JSON", |row| {
        Value::json(&row.prepared_statements)
    }),
    ColumnOf::text("temporary_views", "names of temporary views, as JSON", |row| Value::json(&row.temporary_views)),
    ColumnOf::bigint("running_queries", "queries that have not ended", |row| row.running_queries.into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| {
        let scope = catalogs.scope();
        std::future::ready(scope.census.sessions(&scope.principal)).boxed()
    })
}
