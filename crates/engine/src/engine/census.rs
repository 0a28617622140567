//! What a session can learn of the server by SQL: the rows of the `system` tables.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Engine;
use crate::auth::Principal;
use crate::catalog::{Census, FunctionInfo, MemoryInfo, MemoryScope, NodeInfo};
use crate::error::Result;
use crate::plan::function_list;
use crate::query::{HistoryFilter, QueryInfo};
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

    fn memory(&self, principal: &Principal) -> Vec<MemoryInfo> {
        self.engine.memory(principal)
    }
}

impl Engine {
    /// The processes that make up the server: this one.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let status = self.status();
        vec![NodeInfo {
            id: "local".to_owned(),
            role: "single".to_owned(),
            address: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if status.draining { "draining" } else { "ready" }.to_owned(),
            cpu_threads: status.cpu_threads,
            memory_limit_bytes: status.memory_limit_bytes,
            started_at: self.started_at,
        }]
    }

    /// Functions that SQL can call.
    pub fn functions(&self) -> Vec<FunctionInfo> {
        function_list(&self.base_state)
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
            pool("server", self.budget.used(), self.budget.peak(), self.budget.limit(), self.spill.used()),
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
