//! Where the rows of a writing statement end: the last operator of `INSERT`, `DELETE` and `UPDATE` on a table in memory.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::sink::DataSink;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::{Contents, MemoryTable};

/// The column that says which rows a `DELETE` or `UPDATE` is about, after the table's own.
pub(super) const AFFECTED: &str = "__affected";

/// What becomes of the affected rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affected {
    /// `DELETE`: they go.
    Dropped,
    /// `UPDATE`: they come with their new values.
    Kept,
}

/// Adds the rows that arrive.
#[derive(Debug)]
pub(super) struct Insert(Arc<MemoryTable>);

impl Insert {
    pub(super) fn new(table: Arc<MemoryTable>) -> Self {
        Self(table)
    }
}

/// Replaces the contents by the rows that arrive.
#[derive(Debug)]
pub(super) struct Replacement {
    table: Arc<MemoryTable>,
    /// What the statement read; the table must hold it still when the statement commits.
    seen: Arc<Contents>,
    /// For `DELETE` and `UPDATE`, whose rows carry the column [`AFFECTED`].
    affected: Option<Affected>,
    schema: SchemaRef,
}

impl Replacement {
    /// `INSERT OVERWRITE`.
    pub(super) fn of_all(table: Arc<MemoryTable>) -> Self {
        let (seen, schema) = (table.snapshot(), Arc::clone(&table.schema));
        Self { table, seen, affected: None, schema }
    }

    /// `DELETE` and `UPDATE` of a statement that read `seen`.
    pub(super) fn of_affected(table: Arc<MemoryTable>, seen: Arc<Contents>, affected: Affected) -> Self {
        let schema = marked_schema(&table.schema);
        Self { table, seen, affected: Some(affected), schema }
    }

    async fn write(&self, rows: SendableRecordBatchStream) -> Result<u64> {
        let count = Arc::new(Mutex::new(0));
        let total = Arc::clone(&count);
        let affected = self.affected;
        let kept = rows.and_then(move |batch| {
            let kept = keep(batch, affected).map(|(kept, count)| {
                *total.lock() += count;
                kept
            });
            std::future::ready(kept)
        });
        let kept = RecordBatchStreamAdapter::new(Arc::clone(&self.table.schema), kept);
        self.table.replace(&self.seen, Box::pin(kept)).await?;
        let count = *count.lock();
        Ok(count)
    }
}

/// The table's columns and the mark.
pub(super) fn marked_schema(schema: &Schema) -> SchemaRef {
    let mark = Arc::new(Field::new(AFFECTED, DataType::Boolean, true));
    Arc::new(Schema::new(schema.fields().iter().map(Arc::clone).chain([mark]).collect::<Vec<_>>()))
}

/// The rows that stay, without the mark, and the number of rows that count.
fn keep(batch: RecordBatch, affected: Option<Affected>) -> Result<(RecordBatch, u64)> {
    let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
    let Some(affected) = affected else { return Ok((batch, rows)) };
    let columns = batch.num_columns() - 1;
    let mark = batch.column(columns).as_boolean();
    let count = u64::try_from(mark.true_count()).unwrap_or(u64::MAX);
    let rows = batch.project(&(0..columns).collect::<Vec<_>>())?;
    match affected {
        Affected::Kept => Ok((rows, count)),
        Affected::Dropped => Ok((filter_record_batch(&rows, &not(&known(mark))?)?, count)),
    }
}

/// The mark with unknown as false: a row stays unless the predicate is true.
fn known(mark: &BooleanArray) -> BooleanArray {
    match mark.nulls() {
        Some(nulls) => BooleanArray::new(mark.values() & nulls.inner(), None),
        None => mark.clone(),
    }
}

impl DataSink for Insert {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn write_all<'sink, 'context, 'write>(
        &'sink self,
        data: SendableRecordBatchStream,
        _context: &'context Arc<TaskContext>,
    ) -> Pin<Box<dyn Future<Output = Result<u64>> + Send + 'write>>
    where
        'sink: 'write,
        'context: 'write,
        Self: 'write,
    {
        Box::pin(async move { Ok(u64::try_from(self.0.append(data).await?).unwrap_or(u64::MAX)) })
    }
}

impl DataSink for Replacement {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn write_all<'sink, 'context, 'write>(
        &'sink self,
        data: SendableRecordBatchStream,
        _context: &'context Arc<TaskContext>,
    ) -> Pin<Box<dyn Future<Output = Result<u64>> + Send + 'write>>
    where
        'sink: 'write,
        'context: 'write,
        Self: 'write,
    {
        Box::pin(self.write(data))
    }
}

impl DisplayAs for Insert {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory table {}", self.0.name())
    }
}

impl DisplayAs for Replacement {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.affected {
            Some(Affected::Dropped) => "delete from",
            Some(Affected::Kept) => "update of",
            None => "overwrite of",
        };
        write!(f, "{what} memory table {}", self.table.name())
    }
}
