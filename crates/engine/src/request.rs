//! What a door asks of a session: one statement with everything that is particular to this one request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datafusion::scalar::ScalarValue;

use crate::cache::CacheRequest;
use crate::query::QueryId;

mod ingest;
mod row;
mod value;

pub use ingest::{IfMissing, IfPresent, Ingest, IngestTarget};

/// One statement, as a door received it.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// What to run.
    pub source: Source,
    /// Values for `$1`, `?` and `$name`.
    pub parameters: Parameters,
    /// The id the client chose; otherwise a new UUIDv7.
    pub id: Option<QueryId>,
    /// Settings for this request alone, by name.
    pub settings: Vec<(String, String)>,
    /// Bounds for this request alone; the tighter of these and the session's holds.
    pub limits: RequestLimits,
    /// Refuse whatever writes.
    pub read_only: bool,
    /// Whether an answer that is known already will do.
    pub cache: CacheRequest,
    /// The result is kept on the server: the query has ended only when it is.
    pub keep_result: bool,
    /// Labels that the client attached, kept in history.
    pub tags: BTreeMap<String, String>,
    /// Who asks, through which door.
    pub origin: Origin,
}

/// What to run.
#[derive(Debug, Clone)]
pub enum Source {
    /// The text of exactly one statement.
    Sql(Arc<str>),
    /// A plan, as protobuf of the type `substrait.Plan`.
    Substrait(Bytes),
    /// Rows for a table.
    Ingest(Arc<Ingest>),
}

/// Values for the placeholders of a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Parameters {
    /// None.
    #[default]
    None,
    /// `$1`, `$2`, ... or `?` in order.
    Positional(Vec<ScalarValue>),
    /// `$name`.
    Named(BTreeMap<String, ScalarValue>),
}

/// Bounds for one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestLimits {
    /// The result ends after this many rows, without an error, as with `LIMIT`.
    pub rows: Option<u64>,
    /// A result with more bytes (in memory, as Arrow) is an error.
    pub bytes: Option<u64>,
    /// Deadline for queueing, planning, running and fetching together.
    pub timeout: Option<Duration>,
}

/// Who asks, through which door; kept in history.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The door: `http`, `cli`, ...
    pub door: Arc<str>,
    /// The client's own name and version, as it says.
    pub client: Option<Arc<str>>,
    /// The client's network address.
    pub address: Option<Arc<str>>,
    /// The W3C `traceparent` of the request.
    pub traceparent: Option<Arc<str>>,
}

impl QueryRequest {
    /// A request for this SQL text with nothing special about it.
    pub fn sql(text: impl Into<Arc<str>>) -> Self {
        Self::of(Source::Sql(text.into()))
    }

    /// A request for this with nothing special about it.
    pub fn of(source: Source) -> Self {
        Self {
            source,
            parameters: Parameters::None,
            id: None,
            settings: Vec::new(),
            limits: RequestLimits::default(),
            read_only: false,
            cache: CacheRequest::default(),
            keep_result: false,
            tags: BTreeMap::new(),
            origin: Origin::default(),
        }
    }

    /// The text for history: SQL as written, or what comes nearest to it.
    pub fn text(&self) -> Arc<str> {
        match &self.source {
            Source::Sql(text) => Arc::clone(text),
            Source::Substrait(plan) => format!("SUBSTRAIT PLAN ({} bytes)", plan.len()).into(),
            Source::Ingest(ingest) => format!("INGEST INTO {}", ingest.target).into(),
        }
    }

    /// The bytes of the statement itself.
    pub(crate) fn size(&self) -> usize {
        match &self.source {
            Source::Sql(text) => text.len(),
            Source::Substrait(plan) => plan.len(),
            Source::Ingest(_) => 0,
        }
    }
}
