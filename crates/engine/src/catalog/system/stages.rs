//! `system.stages`: the parts that queries are computed in, of those that run and of those that ended not long ago.

use std::sync::Arc;

use futures::FutureExt;

use crate::catalog::SessionCatalogs;
use crate::catalog::rows::{ColumnOf, VirtualTable};
use crate::query::{QueryId, StageInfo};

type Row = (QueryId, StageInfo);

const COLUMNS: &[ColumnOf<Row>] = &[
    ColumnOf::text("query_id", "the query it belongs to", |(id, _)| id.to_string().into()),
    ColumnOf::bigint("attempt", "which attempt to run the query, from 1", |(_, row)| i64::from(row.attempt).into()),
    ColumnOf::bigint("stage_id", "its number within the attempt", |(_, row)| row.stage_id.into()),
    ColumnOf::text("state", "pending, running, finished, failed or cancelled", |(_, row)| row.state.name().into()),
    ColumnOf::bigint("partitions", "tasks that it is cut into", |(_, row)| row.partitions.into()),
    ColumnOf::bigint("tasks_done", "tasks that have finished", |(_, row)| row.tasks_done.into()),
    ColumnOf::bigint("rows", "rows that it produced", |(_, row)| row.rows.into()),
    ColumnOf::bigint("bytes", "bytes that it produced", |(_, row)| row.bytes.into()),
    ColumnOf::bigint("spilled_bytes", "bytes written to spill files", |(_, row)| row.spilled.into()),
    ColumnOf::bigint("rows_read", "rows that its scans read", |(_, row)| row.rows_read.into()),
    ColumnOf::bigint("bytes_read", "bytes that its scans read from storage", |(_, row)| row.bytes_read.into()),
    ColumnOf::timestamp("started_at", "when it began", |(_, row)| row.started_at.into()),
    ColumnOf::timestamp("ended_at", "when it ended", |(_, row)| row.ended_at.into()),
    ColumnOf::text("plan", "its operators", |(_, row)| row.plan.as_str().into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::new(COLUMNS, move |_| {
        let scope = catalogs.scope();
        let queries = scope.census.stages(&scope.principal);
        let rows = queries.into_iter().flat_map(|(id, stages)| {
            let stages = Arc::unwrap_or_clone(stages).stages;
            stages.into_iter().map(move |stage| (id, stage))
        });
        std::future::ready(rows.collect()).boxed()
    })
}
