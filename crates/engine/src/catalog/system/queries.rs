//! `system.queries`: what runs and what ran, newest first.

use futures::{FutureExt, StreamExt};

use crate::cache::CacheStatus;
use crate::catalog::SessionCatalogs;
use crate::catalog::rows::{ColumnOf, Value, VirtualTable};
use crate::query::QueryInfo;

const COLUMNS: &[ColumnOf<QueryInfo>] = &[
    ColumnOf::text("id", "its id", |row| row.id.to_string().into()),
    ColumnOf::text("state", "received, planning, queued, running, finished, failed or cancelled", |row| {
        row.state.name().into()
    }),
    ColumnOf::text("sql", "the statement, cut if it is very long", |row| row.sql.as_str().into()),
    ColumnOf::text("kind", "query, dml, ddl or utility", |row| row.kind.clone().into()),
    ColumnOf::text("principal", "who asked", |row| row.principal.as_str().into()),
    ColumnOf::text("session_id", "the session it ran in", |row| row.session_id.as_str().into()),
    ColumnOf::text("door", "the door it came through", |row| row.door.as_str().into()),
    ColumnOf::text("client", "the client's own name and version", |row| row.client.clone().into()),
    ColumnOf::text("address", "the client's network address", |row| row.address.clone().into()),
    ColumnOf::text("traceparent", "the W3C trace it belongs to", |row| row.traceparent.clone().into()),
    ColumnOf::text("tags", "the client's labels, as JSON", |row| Value::json(&row.tags)),
    ColumnOf::bigint("queue_position", "its place in the queue, from 1", |row| row.queue_position.into()),
    ColumnOf::timestamp("submitted_at", "when it arrived", |row| row.timings.submitted_at.into()),
    ColumnOf::timestamp("started_at", "when it began to run", |row| row.timings.started_at.into()),
    ColumnOf::timestamp("finished_at", "when it ended", |row| row.timings.finished_at.into()),
    ColumnOf::double("planning_ms", "milliseconds of planning", |row| row.timings.planning_ms.into()),
    ColumnOf::double("queued_ms", "milliseconds of waiting for a permit", |row| row.timings.queued_ms.into()),
    ColumnOf::double("running_ms", "milliseconds of running and fetching", |row| row.timings.running_ms.into()),
    ColumnOf::double("elapsed_ms", "milliseconds since it arrived, or until it ended", |row| {
        row.timings.elapsed_ms.into()
    }),
    ColumnOf::double("progress", "share of the work done, 0 to 1", |row| row.progress.fraction.into()),
    ColumnOf::bigint("stages_done", "stages that are done", |row| row.progress.stages_done.into()),
    ColumnOf::bigint("stages_total", "stages of the plan", |row| row.progress.stages_total.into()),
    ColumnOf::bigint("partitions_done", "partitions that are done", |row| row.progress.partitions_done.into()),
    ColumnOf::bigint("partitions_total", "partitions of all stages", |row| row.progress.partitions_total.into()),
    ColumnOf::bigint("rows_read", "rows that the scans produced", |row| row.progress.rows_read.into()),
    ColumnOf::bigint("bytes_read", "bytes read from storage", |row| row.progress.bytes_read.into()),
    ColumnOf::bigint("rows_produced", "rows handed to the client", |row| row.progress.rows_produced.into()),
    ColumnOf::bigint("bytes_produced", "bytes handed to the client, as Arrow in memory", |row| {
        row.progress.bytes_produced.into()
    }),
    ColumnOf::bigint("spilled_bytes", "bytes written to spill files", |row| row.progress.spilled_bytes.into()),
    ColumnOf::bigint("memory_bytes", "bytes of memory reserved now", |row| row.progress.memory_bytes.into()),
    ColumnOf::bigint("memory_peak_bytes", "the most bytes of memory reserved at once", |row| {
        row.progress.memory_peak_bytes.into()
    }),
    ColumnOf::text("error_code", "why it failed: a stable name", |row| {
        row.error.as_ref().map(|error| error.code.as_str()).into()
    }),
    ColumnOf::text("error_message", "why it failed", |row| {
        row.error.as_ref().map(|error| error.message.as_str()).into()
    }),
    ColumnOf::text("runner", "what ran it", |row| row.runner.clone().into()),
    ColumnOf::text("cache", "hit, miss, stale or bypass: whether the answer came from the result cache", |row| {
        row.cache.map(CacheStatus::name).into()
    }),
];

pub(super) fn table(catalogs: &SessionCatalogs) -> VirtualTable {
    let catalogs = catalogs.clone();
    VirtualTable::streaming(COLUMNS, &[], move |request| {
        let scope = catalogs.scope();
        // History is bounded by the configuration, so a read without LIMIT is bounded too.
        scope.census.queries(&scope.principal, request.limit.unwrap_or(usize::MAX)).into_stream().boxed()
    })
}
