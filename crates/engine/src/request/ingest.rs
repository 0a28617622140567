//! Rows that a client sends into a table, batch by batch, while the statement that takes them runs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Rows for a table. They can be taken once.
pub struct Ingest {
    /// Where they go.
    pub target: IngestTarget,
    /// What happens if the table is not there.
    pub if_missing: IfMissing,
    /// What happens if it is.
    pub if_exists: IfPresent,
    schema: SchemaRef,
    rows: Mutex<Option<BoxStream<'static, Result<RecordBatch>>>>,
    taken: AtomicU64,
}

/// The table that rows go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestTarget {
    /// The catalog; that of the session, if absent.
    pub catalog: Option<String>,
    /// The schema; that of the session, if absent.
    pub schema: Option<String>,
    /// The table's name.
    pub table: String,
}

/// What happens if the table is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// It is created, with the columns of the rows.
    Create,
    /// It is an error.
    Fail,
}

/// What happens if the table is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfPresent {
    /// The rows are added, column by column of the same name.
    Append,
    /// It is replaced, at once and only if all rows arrive.
    Replace,
    /// It is an error.
    Fail,
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, if_missing, if_exists, .. } = self;
        f.debug_struct("Ingest")
            .field("target", target)
            .field("if_missing", if_missing)
            .field("if_exists", if_exists)
            .finish_non_exhaustive()
    }
}

impl Ingest {
    /// Rows of this schema for a table.
    pub fn new(
        target: IngestTarget,
        if_missing: IfMissing,
        if_exists: IfPresent,
        schema: SchemaRef,
        rows: BoxStream<'static, Result<RecordBatch>>,
    ) -> Self {
        Self { target, if_missing, if_exists, schema, rows: Mutex::new(Some(rows)), taken: AtomicU64::new(0) }
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows taken so far.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The rows, as they arrive.
    ///
    /// # Errors
    /// When they were taken before.
    pub(crate) fn take(self: &std::sync::Arc<Self>) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let rows = self.rows.lock().take();
        let rows = rows.ok_or_else(|| Error::internal("the rows of a client were read twice"))?;
        let this = std::sync::Arc::clone(self);
        let counted = rows.inspect(move |batch| {
            if let Ok(batch) = batch {
                this.taken.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            }
        });
        Ok(counted.boxed())
    }
}

impl fmt::Display for IngestTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.catalog, &self.schema].into_iter().flatten().chain([&self.table]);
        let quoted: Vec<String> = parts.map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
        f.write_str(&quoted.join("."))
    }
}
