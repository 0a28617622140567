//! Tables in the server's memory: `CREATE TABLE [AS]`, `INSERT`, `DELETE`, `UPDATE`.
//!
//! The contents are a list of immutable chunks behind one pointer. A reader takes the pointer, so it sees a snapshot; a
//! writer prepares new chunks and then swaps the pointer, so a statement happens as a whole or not at all. Each chunk
//! carries its own reservation on the pool, so the accounting can not drift from the contents.

mod rewrite;
mod sink;
mod statistics;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use parking_lot::RwLock;
use uuid::Uuid;

pub(crate) use rewrite::rewrite_dml;

use self::sink::{Insert, Replacement};
use super::scan::{Scan, ScanRequest};
use crate::cache::Source;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::units::ByteSize;

/// Rows of a chunk: what DataFusion's operators work on at a time.
const CHUNK_ROWS: usize = 8192;

/// A table in memory.
pub(crate) struct MemoryTable {
    /// No other table has or will have it, also not under the same name.
    id: Uuid,
    name: String,
    schema: SchemaRef,
    contents: RwLock<Arc<Contents>>,
    /// Empty; chunks get theirs from it, on the pool given at creation.
    account: MemoryReservation,
}

/// What a table holds at one moment.
#[derive(Debug)]
pub(crate) struct Contents {
    /// No other contents of any table have or will have it.
    id: Uuid,
    chunks: Vec<Arc<Chunk>>,
}

/// Rows that never change, and the memory they are accounted with.
#[derive(Debug)]
struct Chunk {
    rows: RecordBatch,
    reservation: MemoryReservation,
}

impl MemoryTable {
    /// An empty table whose bytes are accounted on `pool`.
    pub(crate) fn new(name: impl Into<String>, schema: SchemaRef, pool: &Arc<dyn MemoryPool>) -> Self {
        let name = name.into();
        let account = MemoryConsumer::new(format!("table {name}")).register(pool);
        let contents = RwLock::new(Arc::new(Contents::new(Vec::new())));
        Self { id: Uuid::new_v4(), name, schema, contents, account }
    }

    /// What tells it from all other tables.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Its full name, for messages and accounting.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows now.
    pub(crate) fn rows(&self) -> usize {
        self.snapshot().rows()
    }

    /// Bytes now, as accounted.
    pub(crate) fn bytes(&self) -> usize {
        self.snapshot().bytes()
    }

    /// Adds all rows of a stream, or none if it fails or does not fit. Returns how many.
    ///
    /// # Errors
    /// Whatever the stream says; `Resources` if the pool is full.
    pub(crate) async fn append(&self, stream: SendableRecordBatchStream) -> Result<usize> {
        let added = self.collect(stream).await?;
        let count = added.rows();
        if count > 0 {
            let mut contents = self.contents.write();
            let chunks = contents.chunks.iter().chain(&added.chunks).map(Arc::clone).collect();
            *contents = Arc::new(Contents::new(chunks));
        }
        Ok(count)
    }

    /// Puts the rows of a stream in the place of `seen`, if the table still holds that.
    ///
    /// # Errors
    /// `Conflict` if another statement changed the table meanwhile; otherwise as [`MemoryTable::append`].
    async fn replace(&self, seen: &Arc<Contents>, stream: SendableRecordBatchStream) -> Result<()> {
        let rows = Arc::new(self.collect(stream).await?);
        let mut contents = self.contents.write();
        if !Arc::ptr_eq(&contents, seen) {
            return Err(Error::conflict(
                Subject::Table,
                format!("table '{}' was changed by another statement in the meantime", self.name),
            )
            .hint("run the statement again"));
        }
        *contents = rows;
        Ok(())
    }

    fn snapshot(&self) -> Arc<Contents> {
        Arc::clone(&self.contents.read())
    }

    /// The rows of a stream as chunks. They are copied, so that the table does not keep alive the larger buffers that
    /// they may be slices of.
    async fn collect(&self, mut stream: SendableRecordBatchStream) -> Result<Contents> {
        let mut coalescer = BatchCoalescer::new(Arc::clone(&self.schema), CHUNK_ROWS);
        let mut collected = Contents::new(Vec::new());
        while let Some(batch) = stream.try_next().await? {
            coalescer.push_batch(self.conform(&batch)?).map_err(DataFusionError::from)?;
            while let Some(rows) = coalescer.next_completed_batch() {
                collected.chunks.push(self.chunk(rows)?);
            }
        }
        coalescer.finish_buffered_batch().map_err(DataFusionError::from)?;
        while let Some(rows) = coalescer.next_completed_batch() {
            collected.chunks.push(self.chunk(shrunk(rows)?)?);
        }
        Ok(collected)
    }

    /// The batch under the table's own schema, so that names and metadata of the source do not matter. Types must agree
    /// and required columns must have values.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec()).map_err(|error| {
            Error::new(ErrorKind::Data, format!("the rows do not fit table '{}': {error}", self.name))
                .about(Subject::Table)
                .caused_by(error)
        })
    }

    fn chunk(&self, rows: RecordBatch) -> Result<Arc<Chunk>> {
        let bytes = get_record_batch_memory_size(&rows);
        let reservation = self.account.new_empty();
        reservation.try_grow(bytes).map_err(|full| {
            let needed = ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX));
            Error::new(
                ErrorKind::Resources,
                format!("no memory for {needed} more in table '{}': the limit memory.tables is reached", self.name),
            )
            .about(Subject::Memory)
            .hint("drop in-memory tables that are not needed, or raise memory.tables")
            .caused_by(full)
        })?;
        Ok(Arc::new(Chunk { rows, reservation }))
    }

    fn statistics_of(&self, contents: &Contents) -> Statistics {
        Statistics {
            num_rows: Precision::Exact(contents.rows()),
            total_byte_size: Precision::Exact(contents.bytes()),
            column_statistics: vec![ColumnStatistics::new_unknown(); self.schema.fields().len()],
        }
    }
}

/// The rows in buffers of their size: the coalescer allocates for a whole chunk, which the last one seldom fills.
fn shrunk(rows: RecordBatch) -> Result<RecordBatch> {
    let (schema, mut columns, count) = rows.into_parts();
    for column in &mut columns {
        column.shrink_to_fit();
    }
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let shrunk = RecordBatch::try_new_with_options(schema, columns, &options).map_err(DataFusionError::from)?;
    Ok(shrunk)
}

impl fmt::Debug for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTable").field("name", &self.name).field("rows", &self.rows()).finish_non_exhaustive()
    }
}

impl Contents {
    fn new(chunks: Vec<Arc<Chunk>>) -> Self {
        Self { id: Uuid::new_v4(), chunks }
    }

    fn rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.rows.num_rows()).sum()
    }

    fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.reservation.size()).sum()
    }

    /// The chunks in at most `most` runs, so that rows that were inserted together stay together and in order.
    fn partitions(&self, most: usize) -> Vec<Vec<RecordBatch>> {
        if self.chunks.is_empty() {
            return vec![Vec::new()];
        }
        let run = self.chunks.len().div_ceil(most.max(1));
        self.chunks.chunks(run).map(|run| run.iter().map(|chunk| chunk.rows.clone()).collect()).collect()
    }
}

impl Scan for MemoryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics_of(&self.snapshot()))
    }

    fn scan(
        self: Arc<Self>,
        request: ScanRequest,
    ) -> BoxFuture<'static, datafusion::error::Result<Arc<dyn ExecutionPlan>>> {
        let plan = || {
            let snapshot = self.snapshot();
            if let Some(sources) = &request.sources {
                sources.note(Source::Memory { table: self.id, contents: snapshot.id });
            }
            let partitions = snapshot.partitions(request.target_partitions);
            let plan: Arc<dyn ExecutionPlan> =
                MemorySourceConfig::try_new_exec(&partitions, Arc::clone(&self.schema), request.projection)?;
            Ok(plan)
        };
        futures::future::ready(plan()).boxed()
    }

    fn insert(
        self: Arc<Self>,
        input: Arc<dyn ExecutionPlan>,
        op: InsertOp,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let sink: Arc<dyn datafusion::datasource::sink::DataSink> = match op {
            InsertOp::Append => Arc::new(Insert::new(self)),
            InsertOp::Overwrite => Arc::new(Replacement::of_all(self)),
            InsertOp::Replace => return Err(Error::unsupported("REPLACE INTO is not supported").into()),
        };
        Ok(Arc::new(DataSinkExec::new(input, sink, None)))
    }
}
