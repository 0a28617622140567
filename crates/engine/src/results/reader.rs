//! Reads a kept result: all of it, one part, or a page.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::files::Files;
use super::manifest::{Manifest, Part};
use super::spool::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::query::{QueryId, ResultInfo};

/// A kept result. Its files stay readable until the last handle and the last stream are dropped, also when it is deleted
/// meanwhile. Cloning copies a handle.
#[derive(Debug, Clone)]
pub struct SpooledResult {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    schema: SchemaRef,
    manifest: Manifest,
    files: Files,
}

impl SpooledResult {
    pub(super) fn new(schema: SchemaRef, manifest: Manifest, files: Files) -> Self {
        Self { shared: Arc::new(Shared { schema, manifest, files }) }
    }

    /// The query that produced it.
    pub fn id(&self) -> QueryId {
        self.shared.manifest.id
    }

    /// The schema of its batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shared.schema)
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.shared.manifest.rows()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.shared.manifest.bytes()
    }

    /// Parts that can be fetched on their own; at least one.
    pub fn parts(&self) -> usize {
        self.shared.manifest.parts.len()
    }

    /// What a status document says of it.
    pub fn info(&self) -> ResultInfo {
        ResultInfo {
            rows: self.rows(),
            bytes: self.bytes(),
            parts: self.parts() as u64,
            expires_at: self.shared.manifest.expires_at,
        }
    }

    /// All rows, in order.
    pub fn stream(&self) -> BoxStream<'static, Result<RecordBatch>> {
        self.page(0, u64::MAX)
    }

    /// The rows of part `number`, counted from 0.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such part.
    pub fn part(&self, number: usize) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let rows = self.manifest_of(number)?.rows();
        let before = self.shared.manifest.parts.iter().take(number).map(Part::rows).sum();
        Ok(self.page(before, rows))
    }

    /// The file of part `number` and its size in bytes: an Arrow IPC file, for clients that fetch ranges of bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such part.
    pub async fn part_file(&self, number: usize) -> Result<(tokio::fs::File, u64)> {
        let bytes = self.manifest_of(number)?.bytes;
        let shared = Arc::clone(&self.shared);
        let file = blocking(move || shared.files.open_part(number)).await?;
        Ok((tokio::fs::File::from_std(file), bytes))
    }

    /// At most `limit` rows from row `offset`, counted from 0. Only the batches that hold them are read.
    ///
    /// Batches are read when they are asked for, so a slow client holds neither a thread nor more than one batch.
    pub fn page(&self, offset: u64, limit: u64) -> BoxStream<'static, Result<RecordBatch>> {
        let pieces = pieces(&self.shared.manifest.parts, offset, limit);
        let cursor = Cursor { shared: Arc::clone(&self.shared), pieces, open: None };
        futures::stream::try_unfold(cursor, |mut cursor| {
            blocking(move || Ok(cursor.next()?.map(|batch| (batch, cursor))))
        })
        .into_stream()
        .boxed()
    }

    pub(super) fn owner(&self) -> &str {
        &self.shared.manifest.owner
    }

    pub(super) fn expired(&self, now: DateTime<Utc>) -> bool {
        self.shared.manifest.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Leaves the files in place when nobody holds this result.
    pub(super) fn keep(&self) {
        self.shared.files.keep();
    }

    /// Deletes the files once nobody holds this result.
    pub(super) fn discard(&self) {
        self.shared.files.discard();
    }

    fn manifest_of(&self, number: usize) -> Result<&Part> {
        self.shared.manifest.parts.get(number).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "the result of query {} has no part {number}: its parts are 0 to {}",
                    self.id(),
                    self.parts().saturating_sub(1)
                ),
            )
            .of_query(self.id())
        })
    }
}

/// Rows of one batch of one part.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    part: usize,
    batch: usize,
    skip: usize,
    rows: usize,
}

/// Which batches hold the rows `offset..offset + limit`.
fn pieces(parts: &[Part], offset: u64, limit: u64) -> VecDeque<Piece> {
    let end = offset.saturating_add(limit);
    let mut pieces = VecDeque::new();
    let mut start = 0;
    for (part, batches) in parts.iter().enumerate() {
        for (batch, rows) in batches.batches.iter().copied().enumerate() {
            let (from, to) = (offset.clamp(start, start + rows), end.clamp(start, start + rows));
            if from < to {
                pieces.push_back(Piece { part, batch, skip: (from - start) as usize, rows: (to - from) as usize });
            }
            start += rows;
        }
    }
    pieces
}

/// Where a reader is.
struct Cursor {
    shared: Arc<Shared>,
    pieces: VecDeque<Piece>,
    open: Option<(usize, FileReader<BufReader<File>>)>,
}

impl Cursor {
    /// The next batch. Blocks.
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(Piece { part, batch, skip, rows }) = self.pieces.pop_front() else { return Ok(None) };
        let shared = Arc::clone(&self.shared);
        let failed = |error| shared.files.arrow_failure("read", part, error);
        let reader = match &mut self.open {
            Some((open, reader)) if *open == part => reader,
            open => {
                let file = shared.files.open_part(part)?;
                &mut open.insert((part, FileReader::try_new_buffered(file, None).map_err(failed)?)).1
            }
        };
        reader.set_index(batch).map_err(failed)?;
        match reader.next().transpose().map_err(failed)? {
            Some(read) if read.num_rows() >= skip + rows => Ok(Some(read.slice(skip, rows))),
            _ => Err(Error::new(
                ErrorKind::Storage,
                format!(
                    "part {part} of the result of query {} does not hold what its manifest says",
                    shared.manifest.id
                ),
            )
            .of_query(shared.manifest.id)),
        }
    }
}
