//! The sections of the cluster: what coordinator and workers share, what each has of its own.

use std::path::PathBuf;

use serde::Deserialize;
use tidemill_cluster::CoordinatorConfig;
use tidemill_cluster::transport::{Address, Tls, TransportConfig};
use tidemill_engine::auth::Secret;
use tidemill_engine::units::{ByteSize, Share, Span};
use tidemill_frontend::listen::ListenAddress;

/// The cluster, as its coordinator sees it; its token and its TLS are those of the workers too.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Whether the server coordinates workers.
    pub enabled: bool,
    /// Where workers find the coordinator; port 0 takes any free one.
    pub listen: ListenAddress,
    /// What a process must know to take part.
    pub join_token: Option<Secret>,
    /// Mutual TLS between the processes.
    pub tls: Option<Tls>,
    /// A worker that is not heard of for so long is lost.
    pub worker_timeout: Span,
    /// How often a query that lost a worker is begun anew.
    pub retries: u32,
    /// A query in which nothing moves for so long is begun anew once, and then fails.
    pub stall_timeout: Span,
    /// How long a query waits for a worker when there is none.
    pub worker_wait: Span,
    /// The smaller side of a join up to this size is sent to every task.
    pub broadcast_limit: ByteSize,
    /// Partitions of each stage for each slot.
    pub partitions_per_slot: usize,
    /// Tables of at least so many rows are filtered by the keys of what they are joined with.
    pub runtime_filter_rows: u64,
    /// Partitions of one result that are fetched at the same time.
    pub fetches: usize,
    /// A plan that takes more bytes on the wire stays in the coordinator.
    pub plan_limit: ByteSize,
}

/// This process as a worker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// Where the coordinator listens for workers.
    pub coordinator: Option<Address>,
    /// Where the coordinator and other workers find this one; port 0 takes any free one.
    pub listen: ListenAddress,
    /// What others reach it by, if that is not the listening address.
    pub advertise: Option<Address>,
    /// The token, if it is not that of `[cluster]`.
    pub join_token: Option<Secret>,
    /// Tasks computed at once; 0 means one per core.
    pub slots: u32,
    /// Memory of its tasks, if it is not `memory.limit`.
    pub memory: Option<Share>,
    /// Where the output of tasks and spill files live.
    pub work_dir: Option<PathBuf>,
    /// Disk that the output of tasks may take.
    pub work_dir_quota: ByteSize,
    /// How long a worker that is to stop waits until nobody needs it.
    pub drain_timeout: Span,
}

impl ClusterConfig {
    /// How the coordinator reaches its workers.
    pub fn transport(&self) -> TransportConfig {
        TransportConfig { join_token: self.join_token.clone(), tls: self.tls.clone() }
    }

    /// What the coordinator is told.
    pub fn coordinator(&self) -> CoordinatorConfig {
        CoordinatorConfig {
            worker_timeout: self.worker_timeout.0,
            retries: self.retries,
            stall_timeout: self.stall_timeout.0,
            worker_wait: self.worker_wait.0,
            broadcast_limit: self.broadcast_limit,
            partitions_per_slot: self.partitions_per_slot,
            runtime_filter_rows: self.runtime_filter_rows,
            fetches: self.fetches,
            plan_limit: self.plan_limit,
        }
    }
}

impl WorkerConfig {
    /// How the worker reaches the others.
    pub fn transport(&self, cluster: &ClusterConfig) -> TransportConfig {
        let join_token = self.join_token.clone().or_else(|| cluster.join_token.clone());
        TransportConfig { join_token, tls: cluster.tls.clone() }
    }
}
