//! The engine as a whole: everything that sessions share, its start and its end.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::session_state::SessionState;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::auth::{AuthConfig, Authenticator, Principal};
use crate::cache::ResultCache;
use crate::catalog::{Catalogs, Census, MemoryStore};
use crate::config::EngineConfig;
use crate::data_dir::DataDir;
use crate::error::Result;
use crate::plan::about_session;
use crate::query::{Admission, History, Queries, QueryHandle};
use crate::request::QueryRequest;
use crate::results::Results;
use crate::run::{
    Abort, AccountedPool, MemoryBudget, PlanningThreads, Relief, Runner, Runners, SpillArea, TaskEnvironment,
};
use crate::session::{Resolved, Session, Sessions, Settings};
use crate::storage::Files;

mod autoscale;
mod census;
mod janitor;
mod status;

pub use autoscale::Autoscale;
pub use status::EngineStatus;

/// Everything that sessions share. One per process.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    started_at: DateTime<Utc>,
    authenticator: Arc<Authenticator>,
    sessions: Sessions,
    queries: Arc<Queries>,
    catalogs: Arc<Catalogs>,
    cache: Arc<ResultCache>,
    results: Results,
    admission: Arc<Admission>,
    runners: Runners,
    settings: Settings,
    /// What plans are computed with in this process.
    environment: Arc<TaskEnvironment>,
    planning: PlanningThreads,
    tables: Arc<AccountedPool>,
    table_pool: Arc<dyn MemoryPool>,
    /// Ends the janitor with the engine.
    _janitor: DropGuard,
}

/// What the composition root knows and the engine must be told.
#[derive(Debug)]
pub struct Seams {
    /// Who may connect.
    pub auth: AuthConfig,
    /// Memory of the machine or its cgroup, in bytes: what `memory.limit` may be a share of.
    pub machine_memory: u64,
}

impl Engine {
    /// Starts an engine on the runtime that calls it, which serves IO; queries compute on threads of their own.
    pub async fn start(config: EngineConfig, seams: Seams) -> Result<Arc<Self>> {
        let opening = config.clone();
        let opened = tokio::task::spawn_blocking(move || open(&opening)).await;
        let (history, results, spill) =
            opened.map_err(|error| crate::Error::internal("start was lost").caused_by(error))??;
        let environment = Arc::new(TaskEnvironment::new(&config, seams.machine_memory, spill)?);
        let budget = &environment.budget;
        let tables_limit = config.memory.tables.of(budget.limit());
        let tables = Arc::new(AccountedPool::new(Arc::clone(budget), tables_limit, "memory.tables", None));
        let cache = cache(&config, budget);
        let settings = Settings::new(environment.base_state.config().clone(), &config.settings)?;
        let opener = environment.files.opener(environment.base_state.clone());
        let catalogs = Catalogs::start(&config.catalogs, opener, Arc::new(MemoryStore)).await?;
        let stop = CancellationToken::new();
        let engine = Arc::new(Self {
            started_at: Utc::now(),
            authenticator: Arc::new(Authenticator::new(seams.auth)?),
            sessions: Sessions::new(config.sessions.clone()),
            queries: Arc::new(Queries::new(config.limits.clone(), history)),
            catalogs,
            cache,
            results,
            admission: Admission::new(config.admission.clone()),
            runners: Runners::new(Arc::clone(&environment)),
            settings,
            planning: PlanningThreads::new(config.runtime.planning_threads, environment.io.clone())?,
            environment,
            table_pool: Arc::clone(&tables) as Arc<dyn MemoryPool>,
            tables,
            _janitor: stop.clone().drop_guard(),
            config,
        });
        janitor::start(Arc::downgrade(&engine), stop);
        Ok(engine)
    }

    /// What it was told at its start.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Who may connect.
    pub fn authenticator(&self) -> &Arc<Authenticator> {
        &self.authenticator
    }

    /// Named sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Queries, past and present.
    pub fn queries(&self) -> &Arc<Queries> {
        &self.queries
    }

    /// Catalogs, schemas and tables.
    pub fn catalogs(&self) -> &Arc<Catalogs> {
        &self.catalogs
    }

    /// Kept results.
    pub fn results(&self) -> &Results {
        &self.results
    }

    /// A session that nobody else can find: for one request, or for a door that holds it itself.
    pub fn ephemeral_session(self: &Arc<Self>, principal: Principal) -> Arc<Session> {
        Session::new(Arc::clone(self), principal, self.settings.clone())
    }

    /// Runs a statement in the background and keeps its result, to be fetched by the id of the query that is returned.
    pub fn submit(self: &Arc<Self>, session: &Arc<Session>, mut request: QueryRequest) -> Result<Arc<QueryHandle>> {
        let id = *request.id.get_or_insert_default();
        request.keep_result = true;
        let received = self.queries.receive(session, request)?;
        let submitted = Arc::clone(received.handle());
        let spool = self.results.begin(id, session.principal().name())?;
        let session = Arc::clone(session);
        self.environment.io.spawn(async move {
            // How it failed is in history, where the client asks for it.
            let Ok(mut stream) = session.run(received).await else { return };
            let handle = Arc::clone(stream.handle());
            let progress = Arc::clone(spool.progress());
            handle.watch_result(progress);
            let kept = spool.run(stream.schema(), &mut stream).await;
            match kept {
                Ok(result) => {
                    handle.set_result(result.info());
                    stream.settle();
                    // Dropping the stream cancels a query that has not ended.
                    handle.ended().await;
                }
                // A query that failed by itself has ended, and does not hear it.
                Err(error) => handle.abort(error),
            }
        });
        Ok(submitted)
    }

    /// Takes up what of this configuration can change while it runs, and leaves the rest as it is: the bounds of admission,
    /// the limits of statements, and how long results are kept. What runs, waits or is kept already stays as it is.
    pub fn tune(&self, config: &EngineConfig) {
        self.admission.configure(config.admission.clone());
        self.queries.set_limits(config.limits.clone());
        self.results.set_ttl(config.results.ttl);
    }

    /// Stops: refuses what is new, lets what runs end for this long, cancels the rest, and writes history to disk.
    pub async fn shutdown(&self, drain: Duration) {
        self.admission.close();
        self.queries.close();
        // A deadline that passes is no failure: it is what it is for.
        let _ = tokio::time::timeout(drain, self.queries.idle()).await;
        self.queries.cancel_all("the server is shutting down");
        let _ = tokio::time::timeout(Duration::from_secs(5), self.queries.idle()).await;
        self.sessions.close_all();
        self.queries.history().flush().await;
    }

    /// Lets queries go to this runner too, from now on.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if there is one already.
    pub fn attach(&self, runner: Arc<dyn Runner>) -> Result<()> {
        self.runners.attach(runner)
    }

    /// What plans are computed with in this process.
    pub fn task_environment(&self) -> &Arc<TaskEnvironment> {
        &self.environment
    }

    /// Results that are kept in memory.
    pub(crate) fn cache(&self) -> &Arc<ResultCache> {
        &self.cache
    }

    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    pub(crate) fn runners(&self) -> &Runners {
        &self.runners
    }

    /// Where statements are planned.
    pub(crate) fn planning(&self) -> &PlanningThreads {
        &self.planning
    }

    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.environment.files
    }

    /// The pool that in-memory tables are accounted on.
    pub(crate) fn table_pool(&self) -> &Arc<dyn MemoryPool> {
        &self.table_pool
    }

    /// The state that a statement with these settings is planned with.
    pub(crate) fn planning_state(&self, settings: &Resolved, principal: &Principal) -> Result<SessionState> {
        let mut state = self.environment.session_state_for(settings.config.clone())?;
        for function in about_session(principal.name(), &settings.catalog, &settings.schema) {
            state.register_udf(function)?;
        }
        state.mark_start_execution();
        Ok(state)
    }

    pub(crate) fn base_state(&self) -> &SessionState {
        &self.environment.base_state
    }

    /// What this session can learn of the server by SQL.
    pub(crate) fn census(self: &Arc<Self>, session: &Arc<Session>) -> Arc<dyn Census> {
        Arc::new(census::SessionCensus { engine: Arc::clone(self), session: Arc::clone(session) })
    }
}

/// The cache of results, which gives its memory back to queries that are short of it.
fn cache(config: &EngineConfig, budget: &Arc<MemoryBudget>) -> Arc<ResultCache> {
    let limit = config.cache.max_bytes.of(budget.limit());
    let account = Arc::new(AccountedPool::new(Arc::clone(budget), limit, "cache.max_bytes", None));
    let cache = ResultCache::new(config.cache.clone(), account);
    let relief: Arc<dyn Relief> = Arc::clone(&cache) as Arc<dyn Relief>;
    budget.relieve_by(Arc::downgrade(&relief));
    cache
}

/// The parts that live on disk.
fn open(config: &EngineConfig) -> Result<(History, Results, Arc<SpillArea>)> {
    let data_dir = Arc::new(DataDir::claim(&config.data_dir)?);
    let history = History::open(&config.history, Arc::clone(&data_dir))?;
    let results = Results::restore(&config.results, Arc::clone(&data_dir))?;
    let spill = Arc::new(SpillArea::open(&config.spill, data_dir.path())?);
    Ok((history, results, spill))
}
