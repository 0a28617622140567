//! Tables in the server's memory, and the statements that change them.
//!
//! The contents are a list of immutable chunks behind one pointer. A reader takes the pointer, so it sees a snapshot. A
//! writer waits for its [`Turn`](turn), prepares new chunks, checks them against the constraints, and then swaps the
//! pointer, so a statement happens as a whole or not at all. Chunks and keys carry their own reservations on the pool, so
//! the accounting can not drift from the contents.

mod alter;
mod changes;
mod checks;
mod contents;
mod declare;
mod keys;
mod merge;
mod replace;
mod rewrite;
mod shape;
mod sink;
mod statistics;
#[cfg(test)]
mod tests;
mod turn;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Constraints, Statistics};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use parking_lot::RwLock;
use uuid::Uuid;

pub(crate) use alter::{Alteration, alter};
pub(crate) use checks::{RowCheck, try_default};
pub(crate) use declare::NewConstraint;
pub(crate) use replace::Replaced;
pub(crate) use rewrite::{Inserted, memory_table, rewrite_dml};
pub(crate) use shape::Shape;
pub use shape::{ConstraintInfo, ConstraintKind};

use self::changes::Outcome;
use self::contents::{Collector, Contents};
use self::keys::{Keys, Taken};
use self::turn::Writer;
use super::scan::{Scan, ScanRequest};
use crate::cache::Source;
use crate::error::Result;

/// A table in memory.
pub(crate) struct MemoryTable {
    /// No other table has or will have it, also not under the same name.
    id: Uuid,
    name: String,
    shape: Shape,
    declared: Constraints,
    contents: RwLock<Arc<Contents>>,
    /// Whoever holds it may change the contents.
    writer: Arc<tokio::sync::Mutex<Writer>>,
    /// Bytes of the keys, as of the last change.
    key_bytes: AtomicUsize,
    /// Empty; chunks get theirs from it, on the pool given at creation.
    account: MemoryReservation,
}

impl MemoryTable {
    /// An empty table whose bytes are accounted on `pool`.
    ///
    /// # Errors
    /// `Unsupported` for keys on columns whose values can not be compared.
    pub(crate) fn new(name: impl Into<String>, shape: Shape, pool: &Arc<dyn MemoryPool>) -> Result<Self> {
        let name = name.into();
        let account = MemoryConsumer::new(format!("table {name}")).register(pool);
        let table = Self::empty(name, shape, account);
        // Nobody else has the table yet.
        let keys = Keys::new(&table)?;
        if let Ok(mut writer) = table.writer.try_lock() {
            writer.keys = keys;
        }
        Ok(table)
    }

    /// Without keys.
    fn empty(name: String, shape: Shape, account: MemoryReservation) -> Self {
        let declared = shape.declared();
        let (contents, writer, key_bytes) = Default::default();
        Self { id: Uuid::new_v4(), name, shape, declared, contents, writer, key_bytes, account }
    }

    /// What tells it from all other tables.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Its full name, for messages and accounting.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The columns, their defaults, and the constraints.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.shape.schema
    }

    /// Rows now.
    pub(crate) fn rows(&self) -> usize {
        self.snapshot().rows()
    }

    /// Bytes now, as accounted.
    pub(crate) fn bytes(&self) -> usize {
        self.snapshot().bytes() + self.key_bytes.load(Ordering::Relaxed)
    }

    /// Adds all rows of a stream, or none if it fails or does not fit. Returns how many.
    ///
    /// # Errors
    /// Whatever the stream says; `Data` or `Conflict` if a row violates a constraint; `Resources` if the pool is full.
    pub(crate) async fn append(&self, stream: SendableRecordBatchStream, checks: &[RowCheck]) -> Result<usize> {
        let added = self.collect(stream, checks).await?;
        let mut writer = self.turn().await?;
        let seen = self.snapshot();
        self.add(&mut writer, &seen, added, Taken::Fail).await
    }

    /// The rows of a stream as chunks.
    async fn collect(&self, mut stream: SendableRecordBatchStream, checks: &[RowCheck]) -> Result<Contents> {
        let mut collector = Collector::new(self, checks);
        while let Some(batch) = stream.try_next().await? {
            collector.push(&batch)?;
        }
        collector.finish()
    }

    /// Adds rows, but for those whose key is taken and that may be skipped. Returns how many.
    async fn add(&self, writer: &mut Writer, seen: &Contents, added: Contents, taken: Taken) -> Result<usize> {
        let mut draft = writer.keys.draft(self, false);
        let added = match taken {
            Taken::Skip(_) => self.admitted(&writer.keys, &mut draft, added, taken).await?,
            Taken::Fail | Taken::Twice(_) => {
                writer.keys.add_all(self, &mut draft, &added, taken).await?;
                added
            }
        };
        let outcome = Outcome { count: added.rows(), contents: seen.followed_by(&added), keys: draft };
        Ok(self.put(writer, outcome))
    }

    async fn admitted(
        &self,
        keys: &Keys,
        draft: &mut keys::KeyDraft,
        added: Contents,
        taken: Taken,
    ) -> Result<Contents> {
        let mut collector = Collector::new(self, &[]);
        for chunk in &added.chunks {
            let admitted = keys.add(self, draft, &chunk.rows, taken)?;
            if admitted.true_count() == chunk.rows.num_rows() {
                collector.share(chunk)?;
            } else {
                let rows: RecordBatch = filter_record_batch(&chunk.rows, &admitted).map_err(DataFusionError::from)?;
                collector.push_known(rows)?;
            }
            tokio::task::yield_now().await;
        }
        collector.finish()
    }

    /// Makes a change visible. Returns how many rows it is about.
    fn put(&self, writer: &mut Writer, outcome: Outcome) -> usize {
        if outcome.count == 0 && outcome.contents.rows() == self.rows() {
            // Nothing changed: what is known of the contents stays true.
            return 0;
        }
        writer.keys.commit(outcome.keys);
        self.note_keys(&writer.keys);
        *self.contents.write() = Arc::new(outcome.contents);
        outcome.count
    }

    fn note_keys(&self, keys: &Keys) {
        self.key_bytes.store(keys.bytes(), Ordering::Relaxed);
    }

    fn snapshot(&self) -> Arc<Contents> {
        Arc::clone(&self.contents.read())
    }

    fn writer(&self) -> &Arc<tokio::sync::Mutex<Writer>> {
        &self.writer
    }

    fn account(&self) -> &MemoryReservation {
        &self.account
    }

    fn statistics_of(&self, contents: &Contents) -> Statistics {
        Statistics {
            num_rows: Precision::Exact(contents.rows()),
            total_byte_size: Precision::Exact(contents.bytes()),
            column_statistics: vec![ColumnStatistics::new_unknown(); self.schema().fields().len()],
        }
    }
}

impl fmt::Debug for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTable").field("name", &self.name).field("rows", &self.rows()).finish_non_exhaustive()
    }
}

impl Scan for MemoryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shape.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.declared)
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics_of(&self.snapshot()))
    }

    fn scan(
        self: Arc<Self>,
        request: ScanRequest,
    ) -> BoxFuture<'static, datafusion::error::Result<Arc<dyn ExecutionPlan>>> {
        let plan = || {
            let contents = self.snapshot();
            if let Some(sources) = &request.sources {
                sources.note(Source::Memory { table: self.id, contents: contents.id });
            }
            let rows =
                |(_, run): &(usize, &[Arc<contents::Chunk>])| run.iter().map(|chunk| chunk.rows.clone()).collect();
            let mut partitions: Vec<Vec<RecordBatch>> =
                contents.runs(request.target_partitions).iter().map(rows).collect();
            if partitions.is_empty() {
                partitions.push(Vec::new());
            }
            let plan: Arc<dyn ExecutionPlan> =
                MemorySourceConfig::try_new_exec(&partitions, Arc::clone(self.schema()), request.projection)?;
            Ok(plan)
        };
        futures::future::ready(plan()).boxed()
    }
}
