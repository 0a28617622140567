//! What can be said of a query at one moment, as plain data: for history, `system.queries`, status documents and the console.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cache::CacheStatus;
use crate::error::{Error, ErrorKind};
use crate::query::QueryId;

/// Where a query is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryState {
    /// Received, not planned yet.
    Received,
    /// Being planned and authorized.
    Planning,
    /// Waiting for a permit.
    Queued,
    /// Running, or waiting for the client to fetch.
    Running,
    /// Ended; every row was produced.
    Finished,
    /// Ended by an error.
    Failed,
    /// Ended because somebody wished so.
    Cancelled,
}

impl QueryState {
    /// All states, in the order of a query's life.
    pub const ALL: [Self; 7] =
        [Self::Received, Self::Planning, Self::Queued, Self::Running, Self::Finished, Self::Failed, Self::Cancelled];

    /// Whether the query has ended.
    pub fn is_final(self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::Cancelled => true,
            Self::Received | Self::Planning | Self::Queued | Self::Running => false,
        }
    }

    /// The name, as in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Planning => "planning",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A query at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueryInfo {
    /// Its id.
    pub id: QueryId,
    /// Where it is in its life.
    pub state: QueryState,
    /// The statement as written, cut to the configured length.
    pub sql: String,
    /// `query`, `dml`, `ddl` or `utility`; absent until parsed.
    pub kind: Option<String>,
    /// Who asked.
    pub principal: String,
    /// The session it ran in.
    pub session_id: String,
    /// The door it came through.
    pub door: String,
    /// The client's own name and version.
    pub client: Option<String>,
    /// The client's network address.
    pub address: Option<String>,
    /// The W3C trace it belongs to.
    pub traceparent: Option<String>,
    /// The client's labels.
    pub tags: BTreeMap<String, String>,
    /// Where its permit stands in the queue, from 1; absent unless queued.
    pub queue_position: Option<u64>,
    /// When what happened.
    pub timings: Timings,
    /// How far it is.
    pub progress: Progress,
    /// Why it failed.
    pub error: Option<ErrorInfo>,
    /// The kept result, for asynchronous queries.
    pub result: Option<ResultInfo>,
    /// The runner that ran it: `local` or `cluster`.
    pub runner: Option<String>,
    /// Why it runs locally, if there is a cluster.
    pub runner_reason: Option<String>,
    /// Where the answer came from: the cache or a run; absent for statements that answer no question.
    pub cache: Option<CacheStatus>,
}

/// When what happened to a query; durations in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timings {
    /// When the request arrived.
    pub submitted_at: DateTime<Utc>,
    /// When it began to run.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Time spent planning.
    pub planning_ms: f64,
    /// Time spent waiting for a permit.
    pub queued_ms: f64,
    /// Time spent running, fetching by the client included.
    pub running_ms: f64,
    /// Time since arrival, or until the end.
    pub elapsed_ms: f64,
}

/// How far a query is; sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Share of the work done, 0 to 1, as far as the plan tells; absent before it runs, and as long as nothing tells how much
    /// there is to read.
    pub fraction: Option<f64>,
    /// Pipeline stages that are done.
    pub stages_done: u64,
    /// Pipeline stages of the plan.
    pub stages_total: u64,
    /// Partitions, over all stages, that are done.
    pub partitions_done: u64,
    /// Partitions over all stages.
    pub partitions_total: u64,
    /// Rows that the scans produced.
    pub rows_read: u64,
    /// Bytes read from storage.
    pub bytes_read: u64,
    /// Rows handed to the client.
    pub rows_produced: u64,
    /// Bytes handed to the client, as Arrow in memory.
    pub bytes_produced: u64,
    /// Bytes written to spill files.
    pub spilled_bytes: u64,
    /// Memory reserved now.
    pub memory_bytes: u64,
    /// The most memory reserved at once.
    pub memory_peak_bytes: u64,
}

/// Why a query failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// Stable name, such as `TABLE_NOT_FOUND`.
    pub code: String,
    /// SQLSTATE.
    pub sqlstate: String,
    /// What went wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Whether the same request can succeed later.
    pub retryable: bool,
}

impl From<&Error> for ErrorInfo {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().to_owned(),
            sqlstate: error.sqlstate().to_owned(),
            message: error.to_string(),
            hint: error.hint_text().map(str::to_owned),
            retryable: error.retryable(),
        }
    }
}

impl ErrorInfo {
    /// Of a query that a dying server left behind.
    pub(crate) fn interrupted() -> Self {
        let error = Error::new(ErrorKind::Unavailable, "the server stopped before the query ended");
        Self::from(&error.hint("run the query again"))
    }
}

/// A kept result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultInfo {
    /// Rows so far, or in all.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Parts that can be fetched.
    pub parts: u64,
    /// When it will be deleted; absent while the query runs.
    pub expires_at: Option<DateTime<Utc>>,
}
