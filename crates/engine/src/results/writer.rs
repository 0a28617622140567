//! Writes a result as Arrow IPC files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};

use super::files::Files;
use super::manifest::{self, Manifest, Part};
use super::quota::Account;
use super::reader::SpooledResult;
use super::spool::SpoolProgress;
use crate::error::{Error, Result};
use crate::query::QueryId;

/// Writes one result. Dropping it before [`SpoolWriter::finish`] deletes what was written. All methods block.
#[derive(Debug)]
pub(super) struct SpoolWriter {
    id: QueryId,
    schema: SchemaRef,
    options: IpcWriteOptions,
    part_bytes: u64,
    progress: Arc<SpoolProgress>,
    files: Files,
    open: Option<OpenPart>,
    parts: Vec<Part>,
}

struct OpenPart {
    writer: FileWriter<Counted<BufWriter<File>>>,
    batches: Vec<u64>,
    /// Bytes that the quota knows of.
    charged: u64,
}

impl std::fmt::Debug for OpenPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenPart").field("batches", &self.batches.len()).finish_non_exhaustive()
    }
}

impl SpoolWriter {
    /// Creates the directory `dir` for the result of query `id`.
    pub(super) fn create(
        dir: PathBuf,
        id: QueryId,
        schema: SchemaRef,
        part_bytes: u64,
        quota: Account,
        progress: Arc<SpoolProgress>,
    ) -> Result<Self> {
        // An IPC file holds one dictionary for each column, a result may bring another with each batch.
        if let Some(field) = schema.fields().iter().find(|field| has_dictionary(field.data_type())) {
            return Err(Error::unsupported(format!(
                "a result with dictionary column '{}' cannot be kept",
                field.name()
            ))
            .of_query(id)
            .hint("fetch the result directly, or cast the column to the type of its values"));
        }
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
        let files = Files::create(id, dir, quota)?;
        Ok(Self { id, schema, options, part_bytes, progress, files, open: None, parts: Vec::new() })
    }

    /// Appends rows. A quota can be exceeded by what one batch takes on disk, not by more.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut part = match self.open.take() {
            Some(part) => part,
            None => self.begin_part()?,
        };
        part.writer.write(batch).map_err(|error| self.failure(error))?;
        let rows = batch.num_rows() as u64;
        part.batches.push(rows);
        self.progress.add_rows(rows);
        self.charge(&mut part)?;
        if part.charged >= self.part_bytes {
            return self.end_part(part);
        }
        self.open = Some(part);
        Ok(())
    }

    /// Completes the result. Its files go with it until [`SpooledResult::keep`] is called.
    pub(super) fn finish(mut self, owner: Arc<str>, expires_at: Option<DateTime<Utc>>) -> Result<SpooledResult> {
        match self.complete(owner, expires_at) {
            Ok(manifest) => Ok(SpooledResult::new(self.schema, manifest, self.files)),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Deletes what was written: when this returns, the disk is free for others.
    pub(super) fn abandon(self) {
        drop(self.open);
        self.files.delete();
    }

    fn complete(&mut self, owner: Arc<str>, expires_at: Option<DateTime<Utc>>) -> Result<Manifest> {
        match self.open.take() {
            Some(part) => self.end_part(part)?,
            None if self.parts.is_empty() => {
                let part = self.begin_part()?;
                self.end_part(part)?;
            }
            None => {}
        }
        let manifest = Manifest {
            version: manifest::VERSION,
            id: self.id,
            owner,
            created_at: Utc::now(),
            expires_at,
            parts: std::mem::take(&mut self.parts),
        };
        manifest.write(&self.files)?;
        Ok(manifest)
    }

    fn begin_part(&self) -> Result<OpenPart> {
        let file = Counted { inner: BufWriter::new(self.files.create_part(self.parts.len())?), bytes: 0 };
        let writer = FileWriter::try_new_with_options(file, &self.schema, self.options.clone())
            .map_err(|error| self.failure(error))?;
        Ok(OpenPart { writer, batches: Vec::new(), charged: 0 })
    }

    fn end_part(&mut self, mut part: OpenPart) -> Result<()> {
        part.writer.finish().map_err(|error| self.failure(error))?;
        self.charge(&mut part)?;
        self.parts.push(Part { bytes: part.charged, batches: part.batches });
        self.progress.add_part();
        Ok(())
    }

    fn charge(&self, part: &mut OpenPart) -> Result<()> {
        let bytes = part.writer.get_ref().bytes - part.charged;
        part.charged += bytes;
        self.progress.add_bytes(bytes);
        self.files.charge(bytes)
    }

    fn failure(&self, error: arrow::error::ArrowError) -> Error {
        self.files.arrow_failure("write", self.parts.len(), error)
    }
}

/// Counts what goes through.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn has_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_dictionary(field.data_type())),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| has_dictionary(field.data_type())),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => has_dictionary(field.data_type()),
        DataType::RunEndEncoded(_, values) => has_dictionary(values.data_type()),
        _ => false,
    }
}
