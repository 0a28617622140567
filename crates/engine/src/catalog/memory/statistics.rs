//! What an in-memory table knows of its values: it has them all, so that everything but the distinct ones is exact.

use arrow::array::{Array, ArrayRef};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;

use super::MemoryTable;

impl MemoryTable {
    /// Statistics with those of the columns. Looks at every value, on the thread that calls it.
    pub(crate) fn column_statistics(&self) -> Statistics {
        let contents = self.snapshot();
        let mut statistics = self.statistics_of(&contents);
        for (at, (column, field)) in statistics.column_statistics.iter_mut().zip(self.schema().fields()).enumerate() {
            let chunks: Vec<ArrayRef> =
                contents.chunks.iter().map(|chunk| ArrayRef::clone(chunk.rows.column(at))).collect();
            *column = ColumnStatistics {
                null_count: Precision::Exact(chunks.iter().map(|chunk| chunk.logical_null_count()).sum()),
                min_value: extreme(MinAccumulator::try_new(field.data_type()), &chunks),
                max_value: extreme(MaxAccumulator::try_new(field.data_type()), &chunks),
                ..ColumnStatistics::new_unknown()
            };
        }
        statistics
    }
}

/// The value that the accumulator ends with; absent for types that have no order.
fn extreme<A: Accumulator>(accumulator: datafusion::error::Result<A>, chunks: &[ArrayRef]) -> Precision<ScalarValue> {
    let found = accumulator.and_then(|mut accumulator| {
        chunks.iter().try_for_each(|chunk| accumulator.update_batch(std::slice::from_ref(chunk)))?;
        accumulator.evaluate()
    });
    found.map_or(Precision::Absent, Precision::Exact)
}
