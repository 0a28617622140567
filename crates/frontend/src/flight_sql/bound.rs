//! Rows of parameters that wait to be used, bounded for each statement and in sum.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use tidemill_engine::units::ByteSize;
use tidemill_engine::{Error, ErrorKind, Subject};

use super::decode::Batches;
use super::failure::{Failure, Result};
use crate::config::FlightSqlConfig;

/// What all rows together take.
#[derive(Debug)]
pub(crate) struct Account {
    per_statement: ByteSize,
    in_all: ByteSize,
    taken: Arc<AtomicU64>,
}

/// Rows of parameters; cloning copies a handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bound(Option<Arc<Rows>>);

#[derive(Debug)]
struct Rows {
    batches: Vec<RecordBatch>,
    bytes: u64,
    taken: Arc<AtomicU64>,
}

/// Parameters that a client sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) rows: Bound,
    /// Batches that came, those without rows included: drivers send one where there is nothing to bind.
    pub(crate) batches: usize,
}

impl Account {
    pub(crate) fn new(config: &FlightSqlConfig) -> Self {
        Self { per_statement: config.max_bound_bytes, in_all: config.max_bound_bytes_in_all, taken: Arc::default() }
    }

    /// Reads the rows that a client sends, all of them: they are bound before anything runs.
    pub(crate) async fn read(&self, mut batches: Batches) -> Result<Sent> {
        let mut rows = Rows { batches: Vec::new(), bytes: 0, taken: Arc::clone(&self.taken) };
        let mut count = 0;
        while let Some(batch) = batches.next().await? {
            count += 1;
            if batch.num_rows() == 0 {
                continue;
            }
            let bytes = batch.get_array_memory_size() as u64;
            rows.bytes += bytes;
            let in_all = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
            for (sum, limit, key) in
                [(rows.bytes, self.per_statement, "max_bound_bytes"), (in_all, self.in_all, "max_bound_bytes_in_all")]
            {
                if sum > limit.0 {
                    return Err(too_many(limit, key));
                }
            }
            rows.batches.push(batch);
        }
        let rows = Bound((!rows.batches.is_empty()).then(|| Arc::new(rows)));
        Ok(Sent { rows, batches: count })
    }
}

impl Bound {
    pub(crate) fn batches(&self) -> &[RecordBatch] {
        self.0.as_ref().map_or(&[], |rows| &rows.batches)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn too_many(limit: ByteSize, key: &str) -> Failure {
    Failure::from(
        Error::new(ErrorKind::Resources, format!("the bound parameters take more than {limit}"))
            .about(Subject::Parameter)
            .hint(format!("bind fewer rows at once, or raise flight_sql.{key} of the server")),
    )
}
