//! The engine's plain data as the description of this door shows them. The engine makes them; here is only what they look like.
#![expect(dead_code, reason = "read by the derive alone; the test holds each to the engine's type")]

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::encode::ColumnInfo as ResultColumn;
use super::routes::catalogs::Statistics;

#[cfg(test)]
mod tests;

/// A query at one moment.
#[derive(ToSchema)]
pub(crate) struct QueryStatus {
    /// Its id, a UUID of version 7.
    id: String,
    /// Where it is in its life: `received`, `planning`, `queued`, `running`, `finished`, `failed` or `cancelled`.
    state: String,
    /// The statement as written, cut to the configured length.
    sql: String,
    /// `query`, `dml`, `ddl` or `utility`; absent until parsed.
    kind: Option<String>,
    /// Who asked.
    principal: String,
    /// The session it ran in.
    session_id: String,
    /// The door it came through.
    door: String,
    /// The client's own name and version.
    client: Option<String>,
    /// The client's network address.
    address: Option<String>,
    /// The W3C trace it belongs to.
    traceparent: Option<String>,
    /// The client's labels.
    tags: BTreeMap<String, String>,
    /// Where it stands in the queue, from 1; absent unless queued.
    queue_position: Option<u64>,
    timings: QueryTimings,
    progress: QueryProgress,
    /// Why it failed.
    error: Option<QueryError>,
    /// The kept result of an asynchronous query; absent once it is deleted or has expired.
    result: Option<KeptResult>,
    /// What ran it: `local` or `cluster`.
    runner: Option<String>,
    /// Why it ran locally, if there is a cluster.
    runner_reason: Option<String>,
    /// Where the answer came from: `hit`, `miss`, `stale` or `bypass`; absent for statements that answer no question.
    cache: Option<String>,
    links: QueryLinks,
}

/// When what happened to a query; durations in milliseconds.
#[derive(ToSchema)]
pub(crate) struct QueryTimings {
    /// When the request arrived.
    submitted_at: DateTime<Utc>,
    /// When it began to run.
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    finished_at: Option<DateTime<Utc>>,
    /// Time spent planning.
    planning_ms: f64,
    /// Time spent waiting for a permit.
    queued_ms: f64,
    /// Time spent running, fetching by the client included.
    running_ms: f64,
    /// Time since arrival, or until the end.
    elapsed_ms: f64,
}

/// How far a query is; sizes in bytes.
#[derive(ToSchema)]
pub(crate) struct QueryProgress {
    /// Share of the work done, 0 to 1; null before it runs, and as long as nothing tells how much there is to read.
    fraction: Option<f64>,
    /// Pipeline stages that are done.
    stages_done: u64,
    /// Pipeline stages of the plan.
    stages_total: u64,
    /// Partitions, over all stages, that are done.
    partitions_done: u64,
    /// Partitions over all stages.
    partitions_total: u64,
    /// Rows that the scans produced.
    rows_read: u64,
    /// Bytes read from storage.
    bytes_read: u64,
    /// Rows handed to the client.
    rows_produced: u64,
    /// Bytes handed to the client, as Arrow in memory.
    bytes_produced: u64,
    /// Bytes written to spill files.
    spilled_bytes: u64,
    /// Memory reserved now.
    memory_bytes: u64,
    /// The most memory reserved at once.
    memory_peak_bytes: u64,
}

/// Why a query failed.
#[derive(ToSchema)]
pub(crate) struct QueryError {
    /// Stable name, such as `TABLE_NOT_FOUND`.
    code: String,
    /// SQLSTATE.
    sqlstate: String,
    /// What went wrong.
    message: String,
    /// What to do next.
    hint: Option<String>,
    /// Whether the same request can succeed later.
    retryable: bool,
}

/// A kept result.
#[derive(ToSchema)]
pub(crate) struct KeptResult {
    /// Rows so far, or in all.
    rows: u64,
    /// Bytes on disk.
    bytes: u64,
    /// Parts that can be fetched, counted from 0.
    parts: u64,
    /// When it will be deleted; absent while the query runs.
    expires_at: Option<DateTime<Utc>>,
    /// Its columns; absent until they are known.
    schema: Option<Vec<ResultColumn>>,
}

/// Paths on this server.
#[derive(ToSchema)]
pub(crate) struct QueryLinks {
    /// This document.
    #[schema(rename = "self")]
    own: String,
    /// The kept result.
    result: String,
    /// The plans.
    plan: String,
    /// The plan with what its operators did.
    profile: String,
    /// Its stages and their tasks.
    stages: String,
    /// What happened to it.
    logs: String,
}

/// The plans of a query.
#[derive(ToSchema)]
pub(crate) struct PlanText {
    /// The logical and the physical plan, as text.
    plan: String,
}

/// How a query was run.
#[derive(ToSchema)]
pub(crate) struct ProfileText {
    /// The logical and the physical plan, as text.
    plan: String,
    /// The physical plan annotated with its metrics, as text.
    profile: String,
}

/// Stages and tasks of a query.
#[derive(ToSchema)]
pub(crate) struct QueryStages {
    /// Stages, by attempt and number.
    stages: Vec<Stage>,
    /// Tasks, by attempt, stage and partition.
    tasks: Vec<Task>,
    /// Tasks that are counted in their stages only, because there are too many.
    tasks_omitted: u64,
    /// Why the whole query was begun anew, each time that it was.
    retries: Vec<String>,
}

/// The part of a plan between two exchanges.
#[derive(ToSchema)]
pub(crate) struct Stage {
    /// Its number within the attempt.
    stage_id: u64,
    /// Which attempt to run the whole query it belongs to, from 1.
    attempt: u32,
    /// `pending`, `running`, `finished`, `failed` or `cancelled`.
    state: String,
    /// How many tasks it is cut into.
    partitions: u64,
    /// Tasks that have finished.
    tasks_done: u64,
    /// Rows that its tasks produced.
    rows: u64,
    /// Bytes that its tasks produced.
    bytes: u64,
    /// Bytes that its tasks wrote to spill files.
    spilled_bytes: u64,
    /// Rows that its scans read.
    rows_read: u64,
    /// Bytes that its scans read from storage.
    bytes_read: u64,
    /// When it began.
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    ended_at: Option<DateTime<Utc>>,
    /// Its operators, as text.
    plan: String,
}

/// One partition of a stage, computed at one place.
#[derive(ToSchema)]
pub(crate) struct Task {
    /// Its stage.
    stage_id: u64,
    /// The partition of the stage that it computes.
    partition: u64,
    /// Which attempt to run the whole query it belongs to, from 1.
    attempt: u32,
    /// The id of the worker that computes it; `local` is the server itself, and it is empty as long as there is none.
    worker: String,
    /// `pending`, `running`, `finished`, `failed` or `cancelled`.
    state: String,
    /// Rows that it produced.
    rows: u64,
    /// Bytes that it produced.
    bytes: u64,
    /// Bytes that it wrote to spill files.
    spilled_bytes: u64,
    /// Rows that its scans read.
    rows_read: u64,
    /// Bytes that its scans read from storage.
    bytes_read: u64,
    /// When it began.
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    ended_at: Option<DateTime<Utc>>,
    /// Why it failed.
    error: Option<String>,
}

/// A page of queries.
#[derive(ToSchema)]
pub(crate) struct QueryPage {
    /// Queries, newest first.
    queries: Vec<QueryStatus>,
    /// The `cursor` of the next page; `null` on the last one.
    next_cursor: Option<String>,
}

/// A session at one moment.
#[derive(ToSchema)]
pub(crate) struct SessionStatus {
    /// Its id: as good as a password for what it holds.
    id: String,
    /// Whose it is.
    principal: String,
    /// The catalog of unqualified names.
    catalog: String,
    /// The schema of unqualified names.
    schema: String,
    /// The time zone of timestamps.
    time_zone: String,
    /// When it was opened.
    created_at: DateTime<Utc>,
    /// When it was last used.
    last_used_at: DateTime<Utc>,
    /// When it closes unless it is used.
    expires_at: DateTime<Utc>,
    /// Settings that differ from the server's defaults.
    settings: BTreeMap<String, String>,
    /// Names of its prepared statements.
    prepared_statements: Vec<String>,
    /// Names of its temporary views.
    temporary_views: Vec<String>,
    /// Its queries that have not ended.
    running_queries: u64,
}

/// Open sessions.
#[derive(ToSchema)]
pub(crate) struct SessionPage {
    /// Sessions, oldest first.
    sessions: Vec<SessionStatus>,
}

/// A table in a listing.
#[derive(ToSchema)]
pub(crate) struct TableEntry {
    /// Its name in the schema.
    name: String,
    /// `external`, `memory`, `view` or `system`.
    kind: String,
    /// `unopened`, `open` or `broken`.
    status: String,
    /// Why it is broken.
    error: Option<String>,
}

/// All that is known of one table.
#[derive(ToSchema)]
pub(crate) struct Table {
    /// Its catalog.
    catalog: String,
    /// Its schema.
    schema: String,
    /// Its name in the schema.
    name: String,
    /// `external`, `memory`, `view` or `system`.
    kind: String,
    /// `unopened`, `open` or `broken`.
    status: String,
    /// Why it is broken.
    error: Option<String>,
    /// Its columns, in order; empty if it is broken.
    columns: Vec<Column>,
    /// Its constraints.
    constraints: Vec<Constraint>,
    /// Its rows, if known without reading it.
    rows: Option<u64>,
    /// Its bytes, if known without reading it.
    bytes: Option<u64>,
    /// URLs or paths of its files.
    location: Vec<String>,
    /// The statement that would make it again.
    definition: Option<String>,
    /// What is known of its contents without a query; present if asked for.
    statistics: Option<Statistics>,
    /// Some of its rows, each a list of values in the order of the columns; present if asked for.
    sample: Option<Vec<serde_json::Value>>,
}

/// A column of a table.
#[derive(ToSchema)]
pub(crate) struct Column {
    /// Its name.
    name: String,
    /// Its type in SQL.
    r#type: String,
    /// Its type in Arrow.
    arrow_type: String,
    /// Whether values may be missing.
    nullable: bool,
    /// What an `INSERT` that does not name it puts there, as SQL.
    default: Option<String>,
    /// What it means, if told.
    comment: Option<String>,
}

/// A constraint of a table, which is enforced.
#[derive(ToSchema)]
pub(crate) struct Constraint {
    /// Its name.
    name: String,
    /// `primary_key`, `unique` or `check`.
    kind: String,
    /// The columns of a key, in its order.
    columns: Vec<String>,
    /// The condition of a check, as SQL.
    check: Option<String>,
}

/// A function that SQL can call.
#[derive(ToSchema)]
pub(crate) struct Function {
    /// Its name.
    name: String,
    /// `scalar`, `aggregate`, `window` or `table`.
    kind: String,
    /// Its arguments, as a signature to read.
    arguments: String,
    /// What it returns; absent if that depends on the arguments.
    return_type: Option<String>,
    /// What it does.
    description: Option<String>,
    /// A call that works as it stands.
    example: Option<String>,
}

/// A process of the server.
#[derive(ToSchema)]
pub(crate) struct Node {
    /// Its id.
    id: String,
    /// `single`, `coordinator` or `worker`.
    role: String,
    /// Where it can be reached, if it can.
    address: Option<String>,
    /// The version it runs.
    version: String,
    /// `active`, `draining`, `lost` or `left`.
    state: String,
    /// Threads that run queries.
    cpu_threads: u64,
    /// Tasks that it computes at once.
    slots: u64,
    /// Slots without a task.
    slots_free: u64,
    /// Tasks that it computes now.
    tasks_running: u64,
    /// Memory that its queries may use, in bytes.
    memory_limit_bytes: u64,
    /// Memory that its queries use.
    memory_used_bytes: u64,
    /// Disk that its queries may use, in bytes.
    disk_limit_bytes: u64,
    /// Disk that its queries use.
    disk_used_bytes: u64,
    /// When it started or, for a worker, joined.
    started_at: DateTime<Utc>,
    /// When it was last heard of.
    last_seen: DateTime<Utc>,
}

/// How many slots the work at hand asks for; with a cluster, the work and the slots of the cluster.
#[derive(ToSchema)]
pub(crate) struct SlotDemand {
    /// Slots with which the work would be over within the target time; 0 without work.
    desired_slots: u64,
    /// Slots of the workers that take tasks.
    slots: u64,
    /// Slots of these without a task.
    slots_free: u64,
    /// Queries that run.
    queries_running: u64,
    /// Queries that wait for a permit.
    queries_queued: u64,
    /// Tasks that compute now.
    tasks_running: u64,
    /// Tasks of running queries that wait for a slot or for their inputs.
    tasks_pending: u64,
    /// The work that is left, in seconds of one slot.
    backlog_seconds: f64,
    /// The time in which it should be over, in seconds.
    target_seconds: f64,
}
