//! The rows of a table at one moment: immutable chunks, each accounted with the memory of its columns.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use uuid::Uuid;

use super::MemoryTable;
use super::checks::RowCheck;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::units::ByteSize;

/// Rows of a chunk: what DataFusion's operators work on at a time.
const CHUNK_ROWS: usize = 8192;

/// What a table holds at one moment.
#[derive(Debug)]
pub(crate) struct Contents {
    /// No other contents of any table have or will have it.
    pub(super) id: Uuid,
    pub(super) chunks: Vec<Arc<Chunk>>,
}

/// Rows that never change, and the memory they are accounted with.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) rows: RecordBatch,
    /// Of each column: a table that is altered shares those that stay.
    pub(super) held: Vec<Arc<MemoryReservation>>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { id: Uuid::new_v4(), chunks: Vec::new() }
    }
}

impl Contents {
    pub(super) fn rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.rows.num_rows()).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().flat_map(|chunk| &chunk.held).map(|held| held.size()).sum()
    }

    /// The chunks in at most `most` runs, so that rows that were inserted together stay together and in order. Each run
    /// comes with the number of its first row.
    pub(super) fn runs(&self, most: usize) -> Vec<(usize, &[Arc<Chunk>])> {
        let length = self.chunks.len().div_ceil(most.max(1)).max(1);
        let mut first = 0;
        let mut runs = Vec::with_capacity(most);
        for run in self.chunks.chunks(length) {
            runs.push((first, run));
            first += run.iter().map(|chunk| chunk.rows.num_rows()).sum::<usize>();
        }
        runs
    }

    /// These rows and then those.
    pub(super) fn followed_by(&self, added: &Self) -> Self {
        Self { chunks: self.chunks.iter().chain(&added.chunks).map(Arc::clone).collect(), ..Self::default() }
    }
}

/// Makes rows into the chunks of a table. They are copied, so that the table does not keep alive the larger buffers that
/// they may be slices of.
pub(super) struct Collector<'a> {
    table: &'a MemoryTable,
    checks: &'a [RowCheck],
    coalescer: BatchCoalescer,
    collected: Contents,
}

impl<'a> Collector<'a> {
    pub(super) fn new(table: &'a MemoryTable, checks: &'a [RowCheck]) -> Self {
        let coalescer = BatchCoalescer::new(Arc::clone(table.schema()), CHUNK_ROWS);
        Self { table, checks, coalescer, collected: Contents::default() }
    }

    /// Takes rows that a statement makes.
    ///
    /// # Errors
    /// `Data` if they are not what the table may hold, `Resources` if the pool is full.
    pub(super) fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        let rows = self.table.conform(rows, self.checks)?;
        self.push_known(rows)
    }

    /// Takes rows that conform already.
    pub(super) fn push_known(&mut self, rows: RecordBatch) -> Result<()> {
        self.coalescer.push_batch(rows).map_err(DataFusionError::from)?;
        while let Some(rows) = self.coalescer.next_completed_batch() {
            self.collected.chunks.push(self.table.chunk(rows)?);
        }
        Ok(())
    }

    /// Takes a chunk as it is.
    pub(super) fn share(&mut self, chunk: &Arc<Chunk>) -> Result<()> {
        self.flush()?;
        self.collected.chunks.push(Arc::clone(chunk));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Contents> {
        self.flush()?;
        Ok(self.collected)
    }

    fn flush(&mut self) -> Result<()> {
        self.coalescer.finish_buffered_batch().map_err(DataFusionError::from)?;
        while let Some(rows) = self.coalescer.next_completed_batch() {
            self.collected.chunks.push(self.table.chunk(shrunk(rows)?)?);
        }
        Ok(())
    }
}

/// The rows in buffers of their size: the coalescer allocates for a whole chunk, which the last one seldom fills.
fn shrunk(rows: RecordBatch) -> Result<RecordBatch> {
    let (schema, mut columns, count) = rows.into_parts();
    for column in &mut columns {
        column.shrink_to_fit();
    }
    under(schema, columns, count)
}

/// A batch that knows its number of rows without columns, too.
pub(super) fn under(schema: SchemaRef, columns: Vec<arrow::array::ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options).map_err(DataFusionError::from)?)
}

impl MemoryTable {
    /// The rows under the table's own schema, so that names and metadata of the source do not matter.
    ///
    /// # Errors
    /// `Data` if types do not agree, a required value is missing, or a check is false.
    pub(super) fn conform(&self, rows: &RecordBatch, checks: &[RowCheck]) -> Result<RecordBatch> {
        for (field, column) in self.schema().fields().iter().zip(rows.columns()) {
            if !field.is_nullable() && column.logical_null_count() > 0 {
                return Err(self.missing(field.name()));
            }
        }
        let conformed = RecordBatch::try_new(Arc::clone(self.schema()), rows.columns().to_vec()).map_err(|error| {
            Error::new(ErrorKind::Data, format!("the rows do not fit table '{}': {error}", self.name()))
                .about(Subject::Table)
                .caused_by(error)
        })?;
        for check in checks {
            check.test(self.name(), &conformed)?;
        }
        Ok(conformed)
    }

    pub(super) fn missing(&self, column: &str) -> Error {
        let message = format!("null value in column '{column}' of table '{}', which is NOT NULL", self.name());
        Error::new(ErrorKind::Data, message).about(Subject::RequiredValue).hint("give the column a value, or a DEFAULT")
    }

    fn chunk(&self, rows: RecordBatch) -> Result<Arc<Chunk>> {
        let mut held = Vec::with_capacity(rows.num_columns());
        for index in 0..rows.num_columns() {
            let column = rows.project(&[index]).map_err(DataFusionError::from)?;
            held.push(Arc::new(self.hold(get_record_batch_memory_size(&column))?));
        }
        Ok(Arc::new(Chunk { rows, held }))
    }

    /// Memory of the pool that tables share.
    ///
    /// # Errors
    /// `Resources` if the pool is full.
    pub(super) fn hold(&self, bytes: usize) -> Result<MemoryReservation> {
        let reservation = self.account().new_empty();
        self.grow(&reservation, bytes)?;
        Ok(reservation)
    }

    pub(super) fn grow(&self, reservation: &MemoryReservation, bytes: usize) -> Result<()> {
        reservation.try_grow(bytes).map_err(|full| {
            let needed = ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX));
            let message =
                format!("no memory for {needed} more in table '{}': the limit memory.tables is reached", self.name());
            Error::new(ErrorKind::Resources, message)
                .about(Subject::Memory)
                .hint("drop in-memory tables that are not needed, or raise memory.tables")
                .caused_by(full)
        })
    }
}
