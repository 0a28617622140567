//! Where the rows of a writing statement end: its last operator, which changes the table when all rows have arrived.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::datasource::sink::DataSink;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::TryStreamExt;

use super::changes::{Changes, Outcome};
use super::checks::RowCheck;
use super::keys::Taken;
use super::turn::{ROW, Turn};

/// Whether a row of a `MERGE` goes, after its number.
pub(super) const GONE: &str = "__gone";

/// What a statement does, and so which columns its rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// `INSERT`: the columns of the table.
    Insert(Taken),
    /// `INSERT OVERWRITE`: the columns of the table.
    Overwrite,
    /// `TRUNCATE`: nothing.
    Truncate,
    /// `DELETE`: the number of the row.
    Delete,
    /// `UPDATE`: the columns of the table, and the number of the row.
    Update,
    /// `MERGE`: the columns of the table, the number of the row if there is one, and whether it goes.
    Merge(Taken),
}

impl Effect {
    /// The columns of the rows that arrive.
    pub(super) fn schema(self, lenient: &Schema) -> SchemaRef {
        let number = || Field::new(ROW, DataType::UInt64, true);
        let gone = || Field::new(GONE, DataType::Boolean, true);
        let (columns, more) = match self {
            Self::Insert(_) | Self::Overwrite | Self::Truncate => (true, vec![]),
            Self::Delete => (false, vec![number()]),
            Self::Update => (true, vec![number()]),
            Self::Merge(_) => (true, vec![number(), gone()]),
        };
        let own = lenient.fields().iter().filter(|_| columns).map(Arc::clone);
        Arc::new(Schema::new(own.chain(more.into_iter().map(Arc::new)).collect::<Vec<FieldRef>>()))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Insert(_) => "insert into",
            Self::Overwrite => "overwrite of",
            Self::Truncate => "truncate of",
            Self::Delete => "delete from",
            Self::Update => "update of",
            Self::Merge(_) => "merge into",
        }
    }
}

/// The end of one statement.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) turn: Arc<Turn>,
    pub(super) effect: Effect,
    pub(super) checks: Arc<[RowCheck]>,
    pub(super) schema: SchemaRef,
}

impl Write {
    async fn write(&self, rows: SendableRecordBatchStream, context: &TaskContext) -> Result<u64> {
        let table = &self.turn.table;
        let count = match self.effect {
            Effect::Insert(taken) => {
                // Reading the source needs no turn: statements that only add rows keep each other waiting for the end alone.
                let added = table.collect(rows, &self.checks).await?;
                let (mut writer, seen) = self.turn.begin().await?;
                table.add(&mut writer, &seen, added, taken).await?
            }
            Effect::Overwrite | Effect::Truncate => {
                let (mut writer, seen) = self.turn.begin().await?;
                let contents = table.collect(rows, &self.checks).await?;
                let count = if self.effect == Effect::Truncate { seen.rows() } else { contents.rows() };
                let mut keys = writer.keys.draft(table, true);
                writer.keys.add_all(table, &mut keys, &contents, Taken::Fail).await?;
                table.put(&mut writer, Outcome { contents, keys, count })
            }
            Effect::Delete | Effect::Update | Effect::Merge(_) => {
                let (mut writer, seen) = self.turn.begin().await?;
                let outcome = self.changes(rows, context).await?.apply(&seen, &writer.keys, self.taken()).await?;
                table.put(&mut writer, outcome)
            }
        };
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    async fn changes(&self, mut rows: SendableRecordBatchStream, context: &TaskContext) -> Result<Changes<'_>> {
        let table = &self.turn.table;
        let noted = MemoryConsumer::new(format!("changes of table {}", table.name())).register(context.memory_pool());
        let mut changes = Changes::new(table, &self.checks, noted);
        while let Some(batch) = rows.try_next().await? {
            match self.effect {
                Effect::Delete => changes.delete(&batch)?,
                Effect::Update => changes.update(&batch)?,
                Effect::Merge(_) | Effect::Insert(_) | Effect::Overwrite | Effect::Truncate => changes.merge(&batch)?,
            }
        }
        Ok(changes)
    }

    fn taken(&self) -> Taken {
        match self.effect {
            Effect::Insert(taken) | Effect::Merge(taken) => taken,
            Effect::Overwrite | Effect::Truncate | Effect::Delete | Effect::Update => Taken::Fail,
        }
    }
}

impl DataSink for Write {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn write_all<'sink, 'context, 'write>(
        &'sink self,
        data: SendableRecordBatchStream,
        context: &'context Arc<TaskContext>,
    ) -> Pin<Box<dyn Future<Output = Result<u64>> + Send + 'write>>
    where
        'sink: 'write,
        'context: 'write,
        Self: 'write,
    {
        Box::pin(self.write(data, context))
    }
}

impl DisplayAs for Write {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} memory table {}", self.effect.name(), self.turn.table.name())
    }
}
