//! Drives a stream of batches into files.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use chrono::Utc;
use futures::{Stream, StreamExt};

use super::reader::SpooledResult;
use super::writer::SpoolWriter;
use super::{Entry, Shared};
use crate::error::{Error, Result};
use crate::query::{QueryId, ResultInfo};

/// A result that was announced and is being written. Dropping it takes the announcement back and deletes what was written.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    id: QueryId,
    owner: Arc<str>,
    progress: Arc<SpoolProgress>,
}

impl Spool {
    pub(super) fn new(shared: Arc<Shared>, id: QueryId, owner: Arc<str>, progress: Arc<SpoolProgress>) -> Self {
        Self { shared, id, owner, progress }
    }

    /// How far it is.
    pub fn progress(&self) -> &Arc<SpoolProgress> {
        &self.progress
    }

    /// Writes the whole stream, whose batches must have this schema, and keeps the result.
    ///
    /// # Errors
    /// The stream's own error, [`crate::ErrorKind::Resources`] when a quota or the disk is exhausted. Nothing is kept then.
    pub async fn run(
        self,
        schema: SchemaRef,
        stream: impl Stream<Item = Result<RecordBatch>> + Unpin + Send,
    ) -> Result<SpooledResult> {
        // Set once: a spool runs once.
        let _ = self.progress.schema.set(Arc::clone(&schema));
        let (shared, progress, id) = (Arc::clone(&self.shared), Arc::clone(&self.progress), self.id);
        let account = shared.quota.of(&self.owner);
        let writer = blocking(move || {
            let (dir, part_bytes) = (shared.dir_of(id), shared.config.part_bytes.0);
            SpoolWriter::create(dir, id, schema, part_bytes, account, progress)
        })
        .await?;
        let writer = drain(writer, stream).await?;
        let (owner, expires_at) = (Arc::clone(&self.owner), self.shared.expiry(Utc::now()));
        let result = blocking(move || writer.finish(owner, expires_at)).await?;
        // Only now, with no await left: a run that is dropped before leaves nothing behind.
        result.keep();
        self.shared.entries.lock().insert(id, Entry::Kept(result.clone()));
        Ok(result)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let mut entries = self.shared.entries.lock();
        if let Some(Entry::Writing { .. }) = entries.get(&self.id) {
            entries.remove(&self.id);
        }
    }
}

/// Each batch is written before the next is asked for: the disk sets the pace of the query.
async fn drain(
    mut writer: SpoolWriter,
    mut stream: impl Stream<Item = Result<RecordBatch>> + Unpin,
) -> Result<SpoolWriter> {
    while let Some(batch) = stream.next().await {
        let write = move || match batch.and_then(|batch| writer.write(&batch)) {
            Ok(()) => Ok(writer),
            Err(error) => {
                writer.abandon();
                Err(error)
            }
        };
        writer = blocking(write).await?;
    }
    Ok(writer)
}

/// Runs file work on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::internal("file work of a result did not end").caused_by(error)),
    }
}

/// Counts what is being written, for whoever watches.
#[derive(Debug, Default)]
pub struct SpoolProgress {
    rows: AtomicU64,
    bytes: AtomicU64,
    parts: AtomicU64,
    schema: OnceLock<SchemaRef>,
}

impl SpoolProgress {
    pub(super) fn add_rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_part(&self) {
        self.parts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn schema(&self) -> Option<SchemaRef> {
        self.schema.get().map(Arc::clone)
    }

    /// The counts at this moment.
    pub fn info(&self) -> ResultInfo {
        ResultInfo {
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            parts: self.parts.load(Ordering::Relaxed),
            expires_at: None,
        }
    }
}
