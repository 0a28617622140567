//! What the command line asks of an engine, be it in this process or behind a server.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::Deserialize;

use super::failure::Failure;

/// One session of an engine. It runs one statement at a time.
pub(crate) trait Client: Send + Sync {
    /// Runs one statement. Dropping the future or the answer abandons it.
    fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// Cancels the statement that runs, if any. Best effort: a failure to reach the engine is not reported.
    fn cancel(&self) -> BoxFuture<'_, ()>;

    /// How far the statement that runs is, if the engine knows.
    fn progress(&self) -> BoxFuture<'_, Option<Progress>>;

    /// Names that the engine knows; `None` when it does not say. Asked of the catalog, not by a query: history is the user's.
    fn names<'a>(&'a self, listing: Listing<'a>) -> BoxFuture<'a, Option<Vec<String>>>;

    /// Ends the session.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What there are names of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing<'a> {
    /// Catalogs.
    Catalogs,
    /// The schemas of a catalog.
    Schemas { catalog: &'a str },
    /// The tables and views of a schema.
    Tables { catalog: &'a str, schema: &'a str },
    /// The columns of a table, in order.
    Columns { catalog: &'a str, schema: &'a str, table: &'a str },
    /// The temporary views of the session.
    TemporaryViews,
    /// Functions.
    Functions,
}

/// The result of a statement, as it arrives. Without columns, the statement returns no rows at all.
pub(crate) struct Answer {
    /// The columns.
    pub(crate) schema: SchemaRef,
    /// The rows.
    pub(crate) batches: BoxStream<'static, Result<RecordBatch, Failure>>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// How far a statement is; sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// Share of the work done, 0 to 1, if known.
    pub(crate) fraction: Option<f64>,
    /// Rows that the scans produced.
    pub(crate) rows_read: u64,
    /// Bytes read from storage.
    pub(crate) bytes_read: u64,
    /// Memory reserved now.
    pub(crate) memory_bytes: u64,
}
