//! `system.tasks`: the partitions of stages and where they are computed, of queries that run and of those that ended not long ago.

use std::sync::Arc;

use futures::{StreamExt, stream};

use crate::catalog::SessionCatalogs;
use crate::catalog::rows::{ColumnOf, VirtualTable};
use crate::query::{QueryId, TaskInfo};

type Row = (QueryId, TaskInfo);

const COLUMNS: &[ColumnOf<Row>] = &[
    ColumnOf::text("query_id", "the query it belongs to", |(id, _)| id.to_string().into()),
    ColumnOf::bigint("attempt", "which attempt to run the query, from 1", |(_, row)| i64::from(row.attempt).into()),
    ColumnOf::bigint("stage_id", "its stage", |(_, row)| row.stage_id.into()),
    ColumnOf::bigint("partition", "the partition of the stage that it computes", |(_, row)| row.partition.into()),
    ColumnOf::text("worker", "the id of the worker that computes it; local is this process", |(_, row)| {
        Some(row.worker.as_str()).filter(|worker| !worker.is_empty()).into()
    }),
    ColumnOf::text("state", "pending, running, finished, failed or cancelled", |(_, row)| row.state.name().into()),
    ColumnOf::bigint("rows", "rows that it produced", |(_, row)| row.rows.into()),
    ColumnOf::bigint("bytes", "bytes that it produced", |(_, row)| row.bytes.into()),
    ColumnOf::bigint("spilled_bytes", "bytes written to spill files", |(_, row)| row.spilled.into()),
    ColumnOf::bigint("rows_read", "rows that its scans read", |(_, row)| row.rows_read.into()),
    ColumnOf::bigint("bytes_read", "bytes that its scans read from storage", |(_, row)| row.bytes_read.into()),
    ColumnOf::timestamp("started_at", "when it began", |(_, row)| row.started_at.into()),
    ColumnOf::timestamp("ended_at", "when it ended", |(_, row)| row.ended_at.into()),
    ColumnOf::text("error", "why it failed", |(_, row)| row.error.as_deref().into()),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::streaming(COLUMNS, &[], move |_| {
        let scope = catalogs.scope();
        // Query by query, because there may be many tasks of each.
        let queries = scope.census.stages(&scope.principal);
        let rows = stream::iter(queries)
            .map(|(id, stages)| Ok(Arc::unwrap_or_clone(stages).tasks.into_iter().map(|task| (id, task)).collect()));
        rows.boxed()
    })
}
