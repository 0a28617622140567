//! Cutting a batch for the formats that encode it column by column and so cannot stop in the middle.

use arrow::array::{Array, RecordBatch};

use super::CHUNK_BYTES;

/// The front of the batch that is about one chunk in memory: at least one row.
pub(super) fn front(batch: &RecordBatch) -> RecordBatch {
    let bytes: usize = batch
        .columns()
        .iter()
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()))
        .sum();
    let rows = batch.num_rows();
    let pieces = bytes.div_ceil(CHUNK_BYTES).max(1);
    batch.slice(0, rows.div_ceil(pieces).clamp(1, rows))
}
