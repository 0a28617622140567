//! What a coordinator is configured with.

use std::time::Duration;

use tidemill_engine::units::ByteSize;

/// Slots that a worker has in reserve for each of its own: for queries that just began, or have less than their share. A worker
/// needs as many threads: a task that computes for long without a pause must keep no other from one.
pub const RESERVE: u32 = 3;

/// The coordinator's part of `[cluster]`.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// A worker that is not heard of for so long is lost, and with it the queries that need it begin anew.
    pub worker_timeout: Duration,
    /// How often a query that only reads is begun anew, when a worker is lost and no row has left.
    pub retries: u32,
    /// A query in which nothing moves for so long, although there are free slots, is begun anew once, and then fails.
    pub stall_timeout: Duration,
    /// How long a query that is begun anew waits for a worker, when there is none.
    pub worker_wait: Duration,
    /// The smaller side of a join up to this size is sent to every task, instead of cutting both sides by the key.
    pub broadcast_limit: ByteSize,
    /// Partitions of each stage for each slot.
    pub partitions_per_slot: usize,
    /// Tables of at least so many rows are filtered by the keys of what they are joined with, before rows are exchanged; 0
    /// filters none.
    pub runtime_filter_rows: u64,
    /// Partitions of one result that are fetched at the same time.
    pub fetches: usize,
    /// A plan that takes more bytes on the wire stays in this process.
    pub plan_limit: ByteSize,
}
