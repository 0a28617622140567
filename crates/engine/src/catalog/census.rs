//! What the `system` tables count: the engine answers, as plain data.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde::Serialize;

use crate::auth::Principal;
use crate::error::Result;
use crate::query::{QueryId, QueryInfo, Stages};
use crate::run::WorkerInfo;
use crate::session::{SessionInfo, SettingInfo};

/// What is going on in the server, as far as a principal may know.
pub trait Census: fmt::Debug + Send + Sync {
    /// Queries, newest first; at most `limit`.
    fn queries(&self, principal: &Principal, limit: usize) -> BoxFuture<'static, Result<Vec<QueryInfo>>>;

    /// Open sessions.
    fn sessions(&self, principal: &Principal) -> Vec<SessionInfo>;

    /// Settings with the values of the asking session.
    fn settings(&self, principal: &Principal) -> Vec<SettingInfo>;

    /// Functions that SQL can call.
    fn functions(&self) -> Vec<FunctionInfo>;

    /// Processes that make up the server.
    fn nodes(&self) -> Vec<NodeInfo>;

    /// Queries with their stages and tasks, newest first: those that live, and those that ended not long ago.
    fn stages(&self, principal: &Principal) -> Vec<(QueryId, Arc<Stages>)>;

    /// Processes that compute tasks.
    fn workers(&self) -> Vec<WorkerInfo>;

    /// Who holds how much memory.
    fn memory(&self, principal: &Principal) -> Vec<MemoryInfo>;
}

/// A function that SQL can call.
#[derive(Debug, Clone, Serialize)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// How it is called.
    pub kind: FunctionKind,
    /// Its arguments, as a signature to read: `text, start [, length]`.
    pub arguments: String,
    /// What it returns; absent if that depends on the arguments.
    pub return_type: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// A call that works as it stands.
    pub example: Option<String>,
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FunctionKind {
    /// On each row.
    Scalar,
    /// On a group of rows.
    Aggregate,
    /// On the neighbours of each row: `f(...) OVER (...)`.
    Window,
    /// In `FROM`.
    Table,
}

impl FunctionKind {
    /// The name, as in `system.functions`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Aggregate => "aggregate",
            Self::Window => "window",
            Self::Table => "table",
        }
    }
}

/// A process of the server; sizes in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct NodeInfo {
    /// Its id.
    pub id: String,
    /// `single`, `coordinator` or `worker`.
    pub role: String,
    /// Where it can be reached, if it can.
    pub address: Option<String>,
    /// The version it runs.
    pub version: String,
    /// `active`, `draining`, `lost` or `left`.
    pub state: String,
    /// Threads that run queries.
    pub cpu_threads: u64,
    /// Tasks that it computes at once.
    pub slots: u64,
    /// Slots without a task.
    pub slots_free: u64,
    /// Tasks that it computes now.
    pub tasks_running: u64,
    /// Memory that its queries may use.
    pub memory_limit_bytes: u64,
    /// Memory that its queries use.
    pub memory_used_bytes: u64,
    /// Disk that its queries may use.
    pub disk_limit_bytes: u64,
    /// Disk that its queries use.
    pub disk_used_bytes: u64,
    /// When it started or, for a worker, joined.
    pub started_at: DateTime<Utc>,
    /// When it was last heard of.
    pub last_seen: DateTime<Utc>,
}

impl NodeInfo {
    pub(crate) fn new(role: &str, worker: WorkerInfo) -> Self {
        Self {
            id: worker.id,
            role: role.to_owned(),
            address: worker.address,
            version: worker.version,
            state: worker.state.name().to_owned(),
            cpu_threads: worker.slots,
            slots: worker.slots,
            slots_free: worker.slots_free,
            tasks_running: worker.tasks_running,
            memory_limit_bytes: worker.memory_bytes,
            memory_used_bytes: worker.memory_used,
            disk_limit_bytes: worker.disk_bytes,
            disk_used_bytes: worker.disk_used,
            started_at: worker.joined_at,
            last_seen: worker.last_seen,
        }
    }
}

/// A holder of memory; sizes in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryInfo {
    /// What sort of holder it is.
    pub scope: MemoryScope,
    /// The pool's name, the query's id or the table's full name.
    pub name: String,
    /// Held now.
    pub used_bytes: u64,
    /// The most held at once, if tracked.
    pub peak_bytes: Option<u64>,
    /// The most it may hold, if bounded by itself.
    pub limit_bytes: Option<u64>,
    /// On disk for want of memory.
    pub spilled_bytes: u64,
}

/// A sort of holder of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryScope {
    /// A pool that others share.
    Pool,
    /// A running query.
    Query,
    /// An in-memory table.
    Table,
}

impl MemoryScope {
    /// The name, as in `system.memory`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Query => "query",
            Self::Table => "table",
        }
    }
}
