//! How the engine is, in numbers: for metrics and readiness.

use serde::Serialize;

use super::Engine;
use crate::cache::CacheUsage;

/// How the engine is; sizes in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct EngineStatus {
    /// Queries that hold a permit.
    pub queries_running: u64,
    /// Queries that wait for one.
    pub queries_queued: u64,
    /// Queries that have not ended.
    pub queries_living: u64,
    /// Queries that ended since the start, by how: finished, failed, cancelled.
    pub queries_ended: [u64; 3],
    /// Tasks of queries that ended, by how the tasks did: finished, failed, cancelled.
    pub tasks_ended: [u64; 3],
    /// How often a whole query was begun anew.
    pub query_retries: u64,
    /// Open named sessions.
    pub sessions: u64,
    /// Memory reserved now.
    pub memory_used_bytes: u64,
    /// The most memory reserved at once.
    pub memory_peak_bytes: u64,
    /// Memory that may be reserved.
    pub memory_limit_bytes: u64,
    /// Memory held by in-memory tables.
    pub memory_tables_bytes: u64,
    /// The cache of results.
    pub cache: CacheUsage,
    /// Bytes of spill files.
    pub spill_bytes: u64,
    /// Bytes of kept results.
    pub results_bytes: u64,
    /// Queries whose history was not stored because the disk was too slow.
    pub history_dropped: u64,
    /// Statements that are planned now, those among them for which nobody waits any more.
    pub statements_planning: u64,
    /// Threads that compute.
    pub cpu_threads: u64,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Whether it takes no more queries.
    pub draining: bool,
}

impl Engine {
    /// How it is now.
    pub fn status(&self) -> EngineStatus {
        EngineStatus {
            queries_running: self.admission.running() as u64,
            queries_queued: self.admission.queued() as u64,
            queries_living: self.queries.count() as u64,
            queries_ended: self.queries.ended_counts(),
            tasks_ended: self.queries.tasks_ended(),
            query_retries: self.queries.retries(),
            sessions: self.sessions.count() as u64,
            memory_used_bytes: self.environment.budget.used(),
            memory_peak_bytes: self.environment.budget.peak(),
            memory_limit_bytes: self.environment.budget.limit(),
            memory_tables_bytes: self.tables.used(),
            cache: self.cache.usage(),
            spill_bytes: self.environment.spill.used(),
            results_bytes: self.results.bytes(),
            history_dropped: self.queries.history().dropped(),
            statements_planning: self.planning.busy() as u64,
            cpu_threads: self.environment.cpu.threads() as u64,
            uptime_seconds: chrono::Utc::now().signed_duration_since(self.started_at).num_seconds().max(0) as u64,
            draining: self.queries.closed(),
        }
    }
}
