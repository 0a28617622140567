//! What a session can learn of the server by SQL: the rows of the `system` tables.

use std::sync::Arc;

use chrono::Utc;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::Engine;
use crate::auth::{Principal, Role};
use crate::catalog::{Census, FunctionInfo, MemoryInfo, MemoryScope, NodeInfo};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::plan::function_list;
use crate::query::{HistoryFilter, QueryId, QueryInfo, Stages};
use crate::run::{LOCAL_WORKER, WorkerInfo, WorkerState};
use crate::session::{Session, SessionInfo, SettingInfo};

/// The server as one session sees it.
#[derive(Debug)]
pub(super) struct SessionCensus {
    pub(super) engine: Arc<Engine>,
    pub(super) session: Arc<Session>,
}

impl Census for SessionCensus {
    fn queries(&self, principal: &Principal, limit: usize) -> BoxFuture<'static, Result<Vec<QueryInfo>>> {
        let (queries, principal) = (Arc::clone(self.engine.queries()), principal.clone());
        async move { queries.list(&principal, &HistoryFilter::newest(limit)).await }.boxed()
    }

    fn sessions(&self, principal: &Principal) -> Vec<SessionInfo> {
        self.engine.sessions().list(principal)
    }

    fn settings(&self, _principal: &Principal) -> Vec<SettingInfo> {
        self.session.setting_list()
    }

    fn functions(&self) -> Vec<FunctionInfo> {
        function_list(self.engine.base_state())
    }

    fn nodes(&self) -> Vec<NodeInfo> {
        self.engine.nodes()
    }

    fn stages(&self, principal: &Principal) -> Vec<(QueryId, Arc<Stages>)> {
        self.engine.queries().recent_stages(principal)
    }

    fn workers(&self) -> Vec<WorkerInfo> {
        self.engine.workers()
    }

    fn memory(&self, principal: &Principal) -> Vec<MemoryInfo> {
        self.engine.memory(principal)
    }
}

impl Engine {
    /// The processes that make up the server: this one, and the workers of its cluster.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let runner = self.runners.remote();
        let role = if runner.is_some() { "coordinator" } else { "single" };
        let workers = runner.iter().flat_map(|runner| runner.workers());
        let workers = workers.map(|worker| NodeInfo::new("worker", worker));
        std::iter::once(NodeInfo::new(role, self.own_worker())).chain(workers).collect()
    }

    /// The processes that compute tasks: the workers of the cluster, or this process if there is no cluster.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        match self.runners.remote() {
            Some(runner) => runner.workers(),
            None => vec![self.own_worker()],
        }
    }

    /// This process.
    fn own_worker(&self) -> WorkerInfo {
        let environment = &self.environment;
        let threads = environment.cpu.threads() as u64;
        let running = self.queries.tasks_running_here();
        WorkerInfo {
            id: LOCAL_WORKER.to_owned(),
            address: None,
            state: if self.queries.closed() { WorkerState::Draining } else { WorkerState::Active },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: threads,
            slots_free: threads.saturating_sub(running),
            memory_bytes: environment.budget.limit(),
            memory_used: environment.budget.used(),
            disk_bytes: self.config.spill.max_bytes.0,
            disk_used: environment.spill.used(),
            last_seen: Utc::now(),
            joined_at: self.started_at,
            tasks_running: running,
        }
    }

    /// Lets a worker of the cluster finish its tasks, and gives it no more.
    ///
    /// # Errors
    /// `Forbidden` unless the principal is an admin, `NotFound` for an id that no worker has.
    pub fn drain(&self, principal: &Principal, worker: &str) -> Result<()> {
        if principal.role() != Role::Admin {
            return Err(Error::new(ErrorKind::Forbidden, "only an admin may drain a worker"));
        }
        match self.runners.remote() {
            Some(runner) => runner.drain(worker),
            None => Err(Error::not_found(Subject::Node, format!("worker '{worker}' not found"))
                .hint("this server has no cluster")),
        }
    }

    /// Functions that SQL can call.
    pub fn functions(&self) -> Vec<FunctionInfo> {
        function_list(&self.environment.base_state)
    }

    fn memory(&self, principal: &Principal) -> Vec<MemoryInfo> {
        let pool = |name: &str, used, peak, limit, spilled| MemoryInfo {
            scope: MemoryScope::Pool,
            name: name.to_owned(),
            used_bytes: used,
            peak_bytes: Some(peak),
            limit_bytes: Some(limit),
            spilled_bytes: spilled,
        };
        let cache = self.cache.account();
        let mut rows = vec![
            pool(
                "server",
                self.environment.budget.used(),
                self.environment.budget.peak(),
                self.environment.budget.limit(),
                self.environment.spill.used(),
            ),
            pool("cache", cache.used(), cache.peak(), cache.limit(), 0),
            pool("tables", self.tables.used(), self.tables.peak(), self.tables.limit(), 0),
        ];
        rows.extend(self.queries.all_living(principal).iter().map(|handle| {
            let progress = handle.info().progress;
            MemoryInfo {
                scope: MemoryScope::Query,
                name: handle.id().to_string(),
                used_bytes: progress.memory_bytes,
                peak_bytes: Some(progress.memory_peak_bytes),
                limit_bytes: None,
                spilled_bytes: progress.spilled_bytes,
            }
        }));
        rows
    }
}
