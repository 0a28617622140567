//! A result that is kept while it goes to the client. The batches are shared, not copied; one that turns out too large is
//! let go, and the result streams on.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::utils::memory::get_record_batch_memory_size;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};

use super::{Answer, Identity, ResultCache};
use crate::run::Relief;

/// What an answer takes besides its batches, in bytes: its place on the shelf.
const BASE_BYTES: usize = 1024;
/// The same for each column: its field, and the pointers of its arrays.
const BYTES_PER_COLUMN: usize = 256;

/// A result on its way to the client.
#[derive(Debug)]
pub(crate) struct Recording {
    cache: Arc<ResultCache>,
    identity: Identity,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    reservation: MemoryReservation,
}

impl Recording {
    /// Begins; there is none if not even an empty result has room.
    pub(super) fn begin(cache: Arc<ResultCache>, identity: Identity, schema: SchemaRef) -> Option<Box<Self>> {
        let reservation = MemoryConsumer::new("result cache").register(&cache.pool());
        let columns = schema.fields().len();
        let recording = Self { cache, identity, schema, batches: Vec::new(), reservation };
        recording.reserve(BASE_BYTES + columns * BYTES_PER_COLUMN).then(|| Box::new(recording))
    }

    /// Takes the next batch, of the schema it began with; there is no recording any more if it has become too large.
    pub(crate) fn with(mut self: Box<Self>, batch: &RecordBatch) -> Option<Box<Self>> {
        // A slice keeps the whole buffer, so that the whole buffer counts.
        let bytes = get_record_batch_memory_size(batch) + batch.num_columns() * size_of::<usize>();
        if !self.reserve(bytes) {
            return None;
        }
        self.batches.push(batch.clone());
        Some(self)
    }

    /// The result is complete: whoever asks next gets it.
    pub(crate) fn keep(self) {
        let Self { cache, identity, schema, batches, reservation } = self;
        cache.keep(Answer { identity, schema, batches, _reservation: reservation });
    }

    /// Accounts for bytes; what was not used for the longest time makes room.
    fn reserve(&self, bytes: usize) -> bool {
        let total = self.reservation.size().saturating_add(bytes) as u64;
        if total > self.cache.max_bytes_per_result().min(self.cache.account().limit()) {
            return false;
        }
        while self.reservation.try_grow(bytes).is_err() {
            if !self.cache.give_back() {
                return false;
            }
        }
        true
    }
}
