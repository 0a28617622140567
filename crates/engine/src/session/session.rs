//! A session, and the way of every statement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::common::ResolvedTableReference;
use parking_lot::Mutex;

use super::{Description, Prepared, SessionInfo, SettingInfo, Settings, Statement, TemporaryView, Validation};
use crate::auth::Principal;
use crate::catalog::{NamedTables, SessionCatalogs, TableDetail, TableStatistics};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::plan::suggest::closest;
use crate::query::{Query, Received, timed_out};
use crate::request::QueryRequest;
use crate::stream::QueryStream;

/// Who asks, in which catalog and schema, with which settings, prepared statements and temporary views.
#[derive(Debug)]
pub struct Session {
    id: String,
    principal: Principal,
    engine: Arc<Engine>,
    created_at: DateTime<Utc>,
    /// Milliseconds since the epoch.
    last_used: AtomicI64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    prepared: BTreeMap<String, Prepared>,
    views: BTreeMap<String, TemporaryView>,
}

impl Session {
    pub(crate) fn new(engine: Arc<Engine>, principal: Principal, settings: Settings) -> Arc<Self> {
        let now = Utc::now();
        let state = State { settings, prepared: BTreeMap::new(), views: BTreeMap::new() };
        Arc::new(Self {
            // Unlike a query's id, this one must not be guessed.
            id: uuid::Uuid::new_v4().to_string(),
            principal,
            engine,
            created_at: now,
            last_used: AtomicI64::new(now.timestamp_millis()),
            state: Mutex::new(state),
        })
    }

    /// Runs one statement: the whole way from its text to its rows.
    pub async fn query(self: &Arc<Self>, request: QueryRequest) -> Result<QueryStream> {
        let query = self.engine.queries().receive(self, request)?;
        self.run(query).await
    }

    pub(crate) async fn run(&self, query: Query<Received>) -> Result<QueryStream> {
        let query = query.plan().await?;
        let query = query.authorize(&self.principal)?;
        let query = query.recall(self.engine.cache()).route(self.engine.runners())?;
        let query = query.admit(self.engine.admission()).await?;
        query.run(self.engine.runners())
    }

    /// Plans one statement without running it: what it would answer, touch and need.
    pub async fn validate(self: &Arc<Self>, request: &QueryRequest) -> Result<Validation> {
        self.look(request, crate::plan::validate).await
    }

    /// Says what a statement would answer and change, without optimizing or running it.
    ///
    /// # Errors
    /// As those of planning and of the policy.
    pub async fn describe(self: &Arc<Self>, request: &QueryRequest) -> Result<Description> {
        self.look(request, crate::plan::describe).await
    }

    /// Plans a statement that is only looked at, within the limits and the time that it would have to run.
    async fn look<T, F>(
        self: &Arc<Self>,
        request: &QueryRequest,
        plan: impl FnOnce(Statement, QueryRequest) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.engine.queries().check(request)?;
        let settings = self.settings_for(request)?;
        self.touch();
        let timeout = self.engine.queries().timeout(request, settings.resolved());
        let work = self.engine.planning().run(plan(Statement::new(Arc::clone(self), settings), request.clone()));
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(timed_out(timeout))),
            None => work.await,
        }
    }

    /// One table with its columns, as this session sees it.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub async fn table_detail(self: &Arc<Self>, catalog: &str, schema: &str, table: &str) -> Result<TableDetail> {
        let name = ResolvedTableReference { catalog: catalog.into(), schema: schema.into(), table: table.into() };
        let statement = Statement::new(Arc::clone(self), self.settings());
        SessionCatalogs::new(statement.scope(NamedTables::new())).detail(&name).await
    }

    /// What is known of the contents of one table without a query.
    ///
    /// # Errors
    /// `NotFound`, with similar names; a table that can not be opened.
    pub async fn table_statistics(
        self: &Arc<Self>,
        catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<TableStatistics> {
        let name = ResolvedTableReference { catalog: catalog.into(), schema: schema.into(), table: table.into() };
        let statement = Statement::new(Arc::clone(self), self.settings());
        let state = self.engine.planning_state(&statement.settings, &self.principal)?;
        SessionCatalogs::new(statement.scope(NamedTables::new())).statistics(&name, &state).await
    }

    /// Its id: a secret between the server and the client.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Notes that it is in use.
    pub fn touch(&self) {
        self.last_used.store(Utc::now().timestamp_millis(), Ordering::Relaxed);
    }

    /// Changes a setting.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.change_settings(|settings| settings.set(name, value))
    }

    /// Takes a setting back to its default.
    pub fn reset(&self, name: &str) -> Result<()> {
        self.change_settings(|settings| settings.reset(name))
    }

    /// Changes settings together: all or, on an error, none. No value takes one back to its default.
    pub fn change<'a>(&self, changes: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Result<()> {
        self.change_settings(|settings| {
            changes.into_iter().try_for_each(|(name, value)| match value {
                Some(value) => settings.set(name, value),
                None => settings.reset(name),
            })
        })
    }

    /// The value of a setting, as text.
    pub fn setting(&self, name: &str) -> Result<String> {
        self.state.lock().settings.get(name)
    }

    /// All settings.
    pub fn setting_list(&self) -> Vec<SettingInfo> {
        self.state.lock().settings.list()
    }

    /// What can be said of it.
    pub fn info(&self) -> SessionInfo {
        let state = self.state.lock();
        let resolved = state.settings.resolved();
        let last_used_at = self.last_used_at();
        let idle = TimeDelta::from_std(self.engine.config().sessions.idle_timeout.0).unwrap_or(TimeDelta::MAX);
        SessionInfo {
            id: self.id.clone(),
            principal: self.principal.name().to_owned(),
            catalog: resolved.catalog.clone(),
            schema: resolved.schema.clone(),
            time_zone: resolved.time_zone.clone(),
            created_at: self.created_at,
            last_used_at,
            expires_at: last_used_at.checked_add_signed(idle).unwrap_or(DateTime::<Utc>::MAX_UTC),
            settings: state.settings.changed().clone(),
            prepared_statements: state.prepared.keys().cloned().collect(),
            temporary_views: state.views.keys().cloned().collect(),
            running_queries: self.engine.queries().count_of_session(&self.id),
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Whether nobody used it for this long.
    pub(crate) fn idle_for(&self, limit: Duration) -> bool {
        let idle = Utc::now().signed_duration_since(self.last_used_at());
        idle.to_std().is_ok_and(|idle| idle > limit) && self.engine.queries().count_of_session(&self.id) == 0
    }

    fn last_used_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.last_used.load(Ordering::Relaxed)).unwrap_or(self.created_at)
    }

    pub(crate) fn settings(&self) -> Settings {
        self.state.lock().settings.clone()
    }

    /// The settings that hold for one request.
    pub(crate) fn settings_for(&self, request: &QueryRequest) -> Result<Settings> {
        let mut settings = self.settings();
        request.settings.iter().try_for_each(|(name, value)| settings.set(name, value))?;
        settings.prove(self.engine.catalogs())?;
        Ok(settings)
    }

    /// Changes settings together: all or, on an error, none.
    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings) -> Result<()>) -> Result<()> {
        let mut state = self.state.lock();
        let mut settings = state.settings.clone();
        change(&mut settings)?;
        settings.prove(self.engine.catalogs())?;
        state.settings = settings;
        Ok(())
    }

    pub(crate) fn prepare(&self, name: String, prepared: Prepared) -> Result<()> {
        let limit = self.engine.config().sessions.max_prepared;
        let mut state = self.state.lock();
        if state.prepared.contains_key(&name) {
            return Err(Error::conflict(Subject::Prepared, format!("prepared statement '{name}' exists already"))
                .hint(format!("DEALLOCATE {name} removes it")));
        }
        if state.prepared.len() >= limit {
            return Err(full("prepared statements", "sessions.max_prepared", limit));
        }
        state.prepared.insert(name, prepared);
        Ok(())
    }

    pub(crate) fn prepared(&self, name: &str) -> Result<Prepared> {
        let state = self.state.lock();
        state.prepared.get(name).cloned().ok_or_else(|| {
            Error::not_found(Subject::Prepared, format!("prepared statement '{name}' not found"))
                .suggest(closest(name, state.prepared.keys().map(String::as_str)))
        })
    }

    /// Forgets one prepared statement, or all.
    pub(crate) fn deallocate(&self, name: Option<&str>) -> Result<()> {
        let Some(name) = name else {
            self.state.lock().prepared.clear();
            return Ok(());
        };
        self.prepared(name)?;
        self.state.lock().prepared.remove(name);
        Ok(())
    }

    pub(crate) fn create_temporary_view(&self, name: String, view: TemporaryView, replace: bool) -> Result<()> {
        let limit = self.engine.config().sessions.max_temporary_views;
        let mut state = self.state.lock();
        if !replace && state.views.contains_key(&name) {
            return Err(Error::conflict(Subject::Table, format!("temporary view '{name}' exists already"))
                .hint("use CREATE OR REPLACE TEMPORARY VIEW"));
        }
        if state.views.len() >= limit {
            return Err(full("temporary views", "sessions.max_temporary_views", limit));
        }
        state.views.insert(name, view);
        Ok(())
    }

    /// Drops the temporary view that hides this name, if there is one.
    pub(crate) fn drop_temporary_view(&self, name: &ResolvedTableReference) -> bool {
        let mut state = self.state.lock();
        let resolved = Arc::clone(state.settings.resolved());
        let hidden = *name.catalog == *resolved.catalog && *name.schema == *resolved.schema;
        hidden && state.views.remove(name.table.as_ref()).is_some()
    }

    pub(crate) fn temporary_view(&self, name: &str) -> Option<TemporaryView> {
        self.state.lock().views.get(name).cloned()
    }

    pub(crate) fn temporary_tables(&self) -> NamedTables {
        self.state.lock().views.iter().map(|(name, view)| (name.clone(), Arc::clone(&view.table))).collect()
    }
}

fn full(what: &str, key: &str, limit: usize) -> Error {
    Error::new(ErrorKind::Resources, format!("the session holds {limit} {what}, as many as {key} allows"))
}
