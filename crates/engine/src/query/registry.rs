//! All queries: those that live, those that ended, and the way to cancel one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{broadcast, watch};

use super::admission::draining;
use super::phase::Life;
use super::{
    Event, History, HistoryFilter, Profile, Query, QueryHandle, QueryId, QueryInfo, QueryState, Received, Stages,
    TaskInfo, TaskState,
};
use crate::auth::Principal;
use crate::config::LimitsConfig;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::request::{Parameters, QueryRequest};
use crate::run::LOCAL_WORKER;
use crate::session::{Resolved, Session, Statement};

/// Events that a slow reader may lag behind.
const EVENTS: usize = 4096;

/// Queries that take less are not stored before their end, except that they have arrived.
const CHECKPOINTED_AFTER: Duration = Duration::from_secs(1);

/// Everything about queries, past and present.
#[derive(Debug)]
pub struct Queries {
    limits: RwLock<LimitsConfig>,
    living: RwLock<HashMap<QueryId, Arc<QueryHandle>>>,
    history: History,
    events: broadcast::Sender<Event>,
    /// How many are living; who waits for none watches it.
    count: watch::Sender<usize>,
    closed: AtomicBool,
    /// Since the start: finished, failed, cancelled.
    ended: [AtomicU64; 3],
    /// Tasks since the start: finished, failed, cancelled.
    tasks_ended: [AtomicU64; 3],
    /// How often a whole query was begun anew.
    retries: AtomicU64,
}

impl Queries {
    pub(crate) fn new(limits: LimitsConfig, history: History) -> Self {
        Self {
            limits: RwLock::new(limits),
            living: RwLock::default(),
            history,
            events: broadcast::Sender::new(EVENTS),
            count: watch::Sender::new(0),
            closed: AtomicBool::new(false),
            ended: Default::default(),
            tasks_ended: Default::default(),
            retries: AtomicU64::new(0),
        }
    }

    /// Takes up other limits, for statements that arrive from now on.
    pub(crate) fn set_limits(&self, limits: LimitsConfig) {
        *self.limits.write() = limits;
    }

    /// The limits of statements as they are now.
    pub(crate) fn limits(&self) -> LimitsConfig {
        self.limits.read().clone()
    }

    /// Whether a statement that is only looked at is within the limits.
    pub(crate) fn check(&self, request: &QueryRequest) -> Result<()> {
        check(request, &self.limits.read())
    }

    /// How long the statement may take, with these settings.
    pub(crate) fn timeout(&self, request: &QueryRequest, settings: &Resolved) -> Option<Duration> {
        let server = self.limits.read().max_statement_timeout.limit();
        [request.limits.timeout, settings.statement_timeout, server].into_iter().flatten().min()
    }

    /// The first moment of a query's life: it gets its id, its handle and its row in history.
    pub(crate) fn receive(self: &Arc<Self>, session: &Arc<Session>, request: QueryRequest) -> Result<Query<Received>> {
        if self.closed() {
            return Err(draining());
        }
        self.check(&request)?;
        let settings = session.settings_for(&request)?;
        let id = request.id.unwrap_or_default();
        let timeout = self.timeout(&request, settings.resolved());
        let sql = self.history.cut(&request.text());
        let owner = (session.principal().name().into(), session.id().into());
        let handle = Arc::new(QueryHandle::new(
            id,
            request,
            sql,
            owner,
            timeout,
            (self.events.clone(), self.history.max_tasks()),
        ));
        {
            let mut living = self.living.write();
            if living.contains_key(&id) || self.history.is_recent(id) {
                return Err(Error::conflict(Subject::Query, format!("a query with id {id} exists already")));
            }
            living.insert(id, Arc::clone(&handle));
            self.count.send_replace(living.len());
        }
        self.history.started(&handle.info());
        handle.publish(QueryState::Received);
        session.touch();
        let life = Life::new(Arc::clone(&handle), Arc::clone(self));
        Ok(Query::new(life, Statement::new(Arc::clone(session), settings)))
    }

    /// Stores how those are that have run for a while, for whoever asks when the server was killed.
    pub(crate) fn checkpoint(&self) {
        for handle in self.handles().iter().filter(|handle| handle.state() == QueryState::Running) {
            let info = handle.info();
            if info.timings.elapsed_ms >= CHECKPOINTED_AFTER.as_millis() as f64 {
                self.history.runs(info, handle.profile(), handle.stages());
            }
        }
    }

    /// The last moment of a query's life.
    pub(super) fn ended(&self, handle: &Arc<QueryHandle>, state: QueryState, error: Option<&Error>) {
        if !handle.conclude(error) {
            return;
        }
        if let Some(error) = error.filter(|error| error.kind() == ErrorKind::Internal) {
            tracing::error!(query_id = %handle.id(), error = %error, "a query failed by a bug");
        }
        handle.meter().stop(state);
        let mut info = handle.info();
        info.state = state;
        let (profile, stages) = (handle.profile(), handle.stages());
        for (total, count) in self.tasks_ended.iter().zip(stages.ended_counts()) {
            total.fetch_add(count, Ordering::Relaxed);
        }
        self.retries.fetch_add(stages.retries.len() as u64, Ordering::Relaxed);
        // History first, so that there is no moment at which the query can not be found.
        self.history.ended(info, profile, stages);
        {
            let mut living = self.living.write();
            living.remove(&handle.id());
            self.count.send_replace(living.len());
        }
        let index = match state {
            QueryState::Finished => 0,
            QueryState::Cancelled => 2,
            _ => 1,
        };
        self.ended[index].fetch_add(1, Ordering::Relaxed);
        handle.publish(state);
    }

    /// A query, living or ended. Those of others are not found, except by an admin.
    pub async fn get(&self, principal: &Principal, id: QueryId) -> Result<QueryInfo> {
        if let Some(handle) = self.living(principal, id) {
            return Ok(handle.info());
        }
        let info = self.history.get(id).await?.filter(|info| principal.may_manage(&info.principal));
        info.ok_or_else(|| missing(id))
    }

    /// The handle of a query that has not ended.
    pub fn living(&self, principal: &Principal, id: QueryId) -> Option<Arc<QueryHandle>> {
        let handle = self.living.read().get(&id).map(Arc::clone);
        handle.filter(|handle| principal.may_manage(handle.principal()))
    }

    /// Handles of all queries that have not ended, that this principal may see.
    pub fn all_living(&self, principal: &Principal) -> Vec<Arc<QueryHandle>> {
        let living = self.living.read();
        living.values().filter(|handle| principal.may_manage(handle.principal())).map(Arc::clone).collect()
    }

    /// Queries, living and ended, newest first.
    pub async fn list(&self, principal: &Principal, filter: &HistoryFilter) -> Result<Vec<QueryInfo>> {
        let mut found: Vec<QueryInfo> =
            self.all_living(principal).iter().map(|handle| handle.info()).filter(|info| filter.matches(info)).collect();
        let ended = self.history.list(principal, filter).await?;
        let living: std::collections::HashSet<QueryId> = found.iter().map(|info| info.id).collect();
        found.extend(ended.into_iter().filter(|info| !living.contains(&info.id)));
        found.sort_by_key(|info| std::cmp::Reverse(info.id));
        found.truncate(filter.limit);
        Ok(found)
    }

    /// Cancels a query; an ended one stays as it ended. Tells the state it is in.
    pub async fn cancel(&self, principal: &Principal, id: QueryId, reason: &str) -> Result<QueryState> {
        match self.living(principal, id) {
            Some(handle) => {
                let state = handle.state();
                handle.cancel(reason);
                Ok(state)
            }
            None => self.get(principal, id).await.map(|info| info.state),
        }
    }

    /// The plan of a query, and what its operators did.
    pub async fn profile(&self, principal: &Principal, id: QueryId) -> Result<Profile> {
        if let Some(handle) = self.living(principal, id) {
            return Ok(handle.profile());
        }
        self.get(principal, id).await?;
        Ok(self.history.profile(id).await?.unwrap_or_default())
    }

    /// The stages and tasks of a query.
    pub async fn stages(&self, principal: &Principal, id: QueryId) -> Result<Arc<Stages>> {
        if let Some(handle) = self.living(principal, id) {
            return Ok(Arc::new(handle.stages()));
        }
        self.get(principal, id).await?;
        Ok(self.history.stages(id).await?.unwrap_or_default())
    }

    /// The queries that this principal may see with their stages and tasks, newest first: those that live, and those that
    /// ended and are still in memory.
    pub fn recent_stages(&self, principal: &Principal) -> Vec<(QueryId, Arc<Stages>)> {
        let mut found: BTreeMap<QueryId, Arc<Stages>> = self.history.recent_stages(principal).into_iter().collect();
        found.extend(self.all_living(principal).iter().map(|handle| (handle.id(), Arc::new(handle.stages()))));
        found.into_iter().rev().collect()
    }

    /// Tasks that this process computes now, over all queries.
    pub(crate) fn tasks_running_here(&self) -> u64 {
        let here = |task: &&TaskInfo| task.state == TaskState::Running && task.worker == LOCAL_WORKER;
        let running = |handle: &Arc<QueryHandle>| handle.stages().tasks.iter().filter(here).count() as u64;
        self.handles().iter().map(running).sum()
    }

    /// Every query that has not ended.
    pub(crate) fn handles(&self) -> Vec<Arc<QueryHandle>> {
        self.living.read().values().map(Arc::clone).collect()
    }

    /// Cancels the queries of a session.
    pub(crate) fn cancel_session(&self, session: &str, reason: &str) {
        for handle in self.living.read().values().filter(|handle| handle.session_id() == session) {
            handle.cancel(reason);
        }
    }

    /// Cancels everything.
    pub(crate) fn cancel_all(&self, reason: &str) {
        self.living.read().values().for_each(|handle| handle.cancel(reason));
    }

    /// Queries of a session that have not ended.
    pub(crate) fn count_of_session(&self, session: &str) -> u64 {
        self.living.read().values().filter(|handle| handle.session_id() == session).count() as u64
    }

    /// Queries that have not ended.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Queries that ended since the start: finished, failed, cancelled.
    pub fn ended_counts(&self) -> [u64; 3] {
        [0, 1, 2].map(|index| self.ended[index].load(Ordering::Relaxed))
    }

    /// Tasks that ended since the start: finished, failed, cancelled.
    pub fn tasks_ended(&self) -> [u64; 3] {
        [0, 1, 2].map(|index| self.tasks_ended[index].load(Ordering::Relaxed))
    }

    /// How often a whole query was begun anew since the start.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Returns when no query lives.
    pub(crate) async fn idle(&self) {
        // The sender lives in `self`, so that waiting can not fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Refuses new queries from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether new queries are refused.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The store of the past.
    pub fn history(&self) -> &History {
        &self.history
    }
}

/// Refuses what is larger than a statement may be.
fn check(request: &QueryRequest, limits: &LimitsConfig) -> Result<()> {
    let length = request.size() as u64;
    if length > limits.max_sql_bytes.0 {
        let limit = limits.max_sql_bytes;
        return Err(Error::invalid(format!(
            "the statement has {length} bytes, more than limits.max_sql_bytes ({limit})"
        ))
        .hint("load large data from a file, or send it as rows, instead of in the statement"));
    }
    let parameters = match &request.parameters {
        Parameters::None => 0,
        Parameters::Positional(values) => values.len(),
        Parameters::Named(values) => values.len(),
    };
    if parameters > limits.max_parameters {
        let limit = limits.max_parameters;
        return Err(Error::invalid(format!(
            "the request has {parameters} parameters, more than limits.max_parameters ({limit})"
        ))
        .about(Subject::Parameter));
    }
    Ok(())
}

pub(crate) fn missing(id: QueryId) -> Error {
    Error::not_found(Subject::Query, format!("query {id} not found"))
}
