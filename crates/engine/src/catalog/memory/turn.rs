//! Whose turn it is: statements that change rows of one table do so one after another.
//!
//! A statement waits for its turn when it runs and not when it is planned: whoever holds a turn runs already, so it never
//! waits for a permit that another one holds which waits for the turn. What such a statement reads of its table is what
//! the table holds when the turn comes, so the plan reads the table through [`Rows`], which waits for that.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedMutexGuard};

use super::MemoryTable;
use super::contents::{Contents, under};
use super::keys::Keys;
use crate::catalog::scan::{Scan, ScanRequest};
use crate::error::{Error, Result, Subject};

/// The number of a row in what the statement saw, after the table's own columns.
pub(super) const ROW: &str = "__row";

/// What only the statement whose turn it is touches.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) keys: Keys,
    /// Whether another table took the place of this one.
    pub(super) retired: bool,
}

/// The turn of one statement at one table.
pub(super) struct Turn {
    pub(super) table: Arc<MemoryTable>,
    /// What the table held when the turn came.
    seen: OnceCell<Arc<Contents>>,
    /// Until the statement is over, or its plan is dropped.
    held: Mutex<Option<OwnedMutexGuard<Writer>>>,
}

impl Turn {
    pub(super) fn new(table: Arc<MemoryTable>) -> Arc<Self> {
        Arc::new(Self { table, seen: OnceCell::new(), held: Mutex::new(None) })
    }

    /// Waits for the turn, if it has not come yet, and gives what the table holds then.
    ///
    /// # Errors
    /// `Conflict` if the table was altered meanwhile, so that the plan of the statement is about another table.
    pub(super) async fn seen(&self) -> Result<&Arc<Contents>> {
        let begin = || async {
            let guard = self.table.turn().await?;
            let seen = self.table.snapshot();
            *self.held.lock() = Some(guard);
            Ok(seen)
        };
        self.seen.get_or_try_init(begin).await
    }

    /// Takes the turn over, to end it by dropping what it gives.
    pub(super) async fn begin(&self) -> Result<(OwnedMutexGuard<Writer>, Arc<Contents>)> {
        let seen = Arc::clone(self.seen().await?);
        let held = self.held.lock().take();
        let guard = held.ok_or_else(|| Error::internal("a statement that changes a table runs twice"))?;
        Ok((guard, seen))
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("table", &self.table).finish_non_exhaustive()
    }
}

impl MemoryTable {
    /// Waits until no other statement changes the table.
    pub(super) async fn turn(&self) -> Result<OwnedMutexGuard<Writer>> {
        let guard = Arc::clone(self.writer()).lock_owned().await;
        if guard.retired {
            let message =
                format!("table '{}' was altered or replaced by another statement in the meantime", self.name());
            return Err(Error::conflict(Subject::Concurrency, message).hint("run the statement again"));
        }
        Ok(guard)
    }
}

/// The rows that the statement's table holds when the turn comes.
#[derive(Debug)]
pub(super) struct Rows {
    turn: Arc<Turn>,
    /// Whether they are numbered.
    numbered: bool,
    schema: SchemaRef,
}

impl Rows {
    /// With the columns of the table.
    pub(super) fn plain(turn: &Arc<Turn>) -> Self {
        Self { turn: Arc::clone(turn), numbered: false, schema: Arc::clone(turn.table.schema()) }
    }

    /// With the column [`ROW`] after those of the table.
    pub(super) fn numbered(turn: &Arc<Turn>) -> Self {
        let number = Arc::new(Field::new(ROW, DataType::UInt64, false));
        let fields: Vec<FieldRef> = turn.table.schema().fields().iter().map(Arc::clone).chain([number]).collect();
        Self { turn: Arc::clone(turn), numbered: true, schema: Arc::new(Schema::new(fields)) }
    }
}

impl Scan for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn scan(
        self: Arc<Self>,
        request: ScanRequest,
    ) -> BoxFuture<'static, datafusion::error::Result<Arc<dyn ExecutionPlan>>> {
        let plan = || {
            let runs = request.target_partitions.max(1);
            let part = |run| Arc::new(Part { rows: Arc::clone(&self), run, runs }) as Arc<dyn PartitionStream>;
            let parts = (0..runs).map(part).collect();
            let schema = Arc::clone(&self.schema);
            let plan = StreamingTableExec::try_new(schema, parts, request.projection.as_ref(), [], false, None)?;
            let plan: Arc<dyn ExecutionPlan> = Arc::new(plan);
            Ok(plan)
        };
        futures::future::ready(plan()).boxed()
    }
}

/// One of `runs` parts of the rows.
#[derive(Debug)]
struct Part {
    rows: Arc<Rows>,
    run: usize,
    runs: usize,
}

impl Part {
    fn batches(&self, seen: &Contents) -> Result<Vec<RecordBatch>> {
        let runs = seen.runs(self.runs);
        let Some((mut first, chunks)) = runs.into_iter().nth(self.run) else { return Ok(Vec::new()) };
        let mut batches = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let rows = &chunk.rows;
            batches.push(if self.rows.numbered { number(rows, first, &self.rows.schema)? } else { rows.clone() });
            first += rows.num_rows();
        }
        Ok(batches)
    }
}

fn number(rows: &RecordBatch, first: usize, schema: &SchemaRef) -> Result<RecordBatch> {
    let first = u64::try_from(first).unwrap_or(u64::MAX);
    let numbers = UInt64Array::from_iter_values((first..).take(rows.num_rows()));
    let columns = rows.columns().iter().map(Arc::clone).chain([Arc::new(numbers) as ArrayRef]).collect();
    under(Arc::clone(schema), columns, rows.num_rows())
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.rows.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let part = Self { rows: Arc::clone(&self.rows), run: self.run, runs: self.runs };
        let batches = async move {
            let seen = Arc::clone(part.rows.turn.seen().await?);
            Ok::<_, datafusion::error::DataFusionError>(futures::stream::iter(part.batches(&seen)?).map(Ok))
        };
        let batches = batches.into_stream().try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.rows.schema), batches))
    }
}
