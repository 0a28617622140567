//! Where a query is computed: in this process, or by the runner that is attached.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use super::{Planned, Runner, TaskEnvironment};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::plan::{Action, PhysicalQuery, Plan, Portable};
use crate::session::resolved::{Resolved, RunnerChoice};
use crate::units::ByteSize;

/// What is told when all workers left.
const NO_SLOTS: &str = "no worker takes tasks";

/// Where a query is computed.
#[derive(Debug)]
pub(crate) enum Route {
    /// In this process; and what is told of that, if there is an elsewhere.
    Local(Option<String>),
    /// Elsewhere.
    Remote(Arc<dyn Runner>),
}

impl Route {
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(_))
    }

    /// The route, now that the query has its permit: workers may have left while it waited.
    pub(crate) fn settled(self, choice: RunnerChoice) -> Self {
        match self {
            Self::Remote(runner) if choice == RunnerChoice::Auto && runner.slots() == 0 => {
                Self::Local(Some(here(NO_SLOTS)))
            }
            route => route,
        }
    }

    /// The name of the runner, as history tells it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Remote(runner) => runner.name(),
        }
    }

    /// Why the query runs in this process, if that has to be told.
    pub(crate) fn why_local(&self) -> Option<String> {
        match self {
            Self::Local(why) => why.clone(),
            Self::Remote(_) => None,
        }
    }
}

/// All that can compute a query, and the choice between them.
#[derive(Debug)]
pub(crate) struct Runners {
    pub(super) environment: Arc<TaskEnvironment>,
    remote: OnceLock<Arc<dyn Runner>>,
    /// Queries that wait for a first worker.
    waiting: AtomicU64,
}

impl Runners {
    pub(crate) fn new(environment: Arc<TaskEnvironment>) -> Self {
        Self { environment, remote: OnceLock::new(), waiting: AtomicU64::new(0) }
    }

    pub(crate) fn attach(&self, runner: Arc<dyn Runner>) -> Result<()> {
        let name = runner.name();
        self.remote
            .set(runner)
            .map_err(|_| Error::conflict(Subject::Node, format!("a runner is attached already, besides '{name}'")))
    }

    /// The runner besides this process, if there is one.
    pub(crate) fn remote(&self) -> Option<&Arc<dyn Runner>> {
        self.remote.get()
    }

    /// Queries that wait for a first worker.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Where the plan is computed.
    ///
    /// # Errors
    /// The cluster is what the session wants, and it can not compute it.
    pub(crate) fn route(&self, plan: &Plan) -> Result<Route> {
        let Action::Query(query) = &plan.action else { return Ok(Route::Local(None)) };
        // What writes runs wherever it can.
        let insists = plan.settings.runner == RunnerChoice::Cluster && !writes(query);
        let why = match self.elsewhere(query, &plan.settings) {
            Ok(runner) => return Ok(Route::Remote(runner)),
            Err(why) => why,
        };
        if insists && let Some(error) = why.error() {
            // It does not run: EXPLAIN tells that, and is not what fails.
            return if query.only_explains() { Ok(Route::Local(Some(never(&error)))) } else { Err(error) };
        }
        Ok(Route::Local(match why {
            // What changes something or looks at the server itself has no choice, and neither has a session without one.
            Refused::Here(why) => self.remote().map(|_| here(why)),
            Refused::Nobody => Some(here(NO_SLOTS)),
            Refused::NotThere(why) => self.remote().map(|_| here(&why)),
        }))
    }

    /// Lets the runner besides this process plan the query, if it may compute it.
    pub(crate) async fn plan(&self, query: &mut PhysicalQuery, settings: &Resolved) {
        let insists = settings.runner == RunnerChoice::Cluster;
        if let Some(runner) = self.remote().filter(|_| insists)
            && matches!(self.candidate(query, settings), Err(Refused::Nobody))
        {
            let _waits = Waits::of(&self.waiting);
            runner.wait_for_workers().await;
        }
        if self.candidate(query, settings).is_err() {
            return;
        }
        if let (Some(runner), Some(portable)) = (self.remote(), &mut query.portable) {
            let Portable { logical, plan, state, .. } = portable.as_ref();
            let distributed = runner.plan(Planned { logical, plan, state }).await;
            portable.distributed = Some(distributed);
        }
    }

    /// Who computes it elsewhere.
    fn elsewhere(&self, query: &PhysicalQuery, settings: &Resolved) -> Result<Arc<dyn Runner>, Refused> {
        let (runner, portable) = self.candidate(query, settings)?;
        match &portable.distributed {
            Some(Ok(_)) => Ok(Arc::clone(runner)),
            Some(Err(why)) => Err(Refused::NotThere(why.clone())),
            None => Err(Refused::Nobody),
        }
    }

    /// Who may compute it elsewhere, and what of it; which may turn out to be impossible.
    fn candidate<'a>(
        &'a self,
        query: &'a PhysicalQuery,
        settings: &Resolved,
    ) -> Result<(&'a Arc<dyn Runner>, &'a Portable), Refused> {
        if writes(query) && query.portable.is_none() {
            return Err(Refused::Here("only what reads can run elsewhere"));
        }
        if query.about_server && !query.is_explained() {
            return Err(Refused::Here("it asks the server about itself"));
        }
        if settings.runner == RunnerChoice::Local {
            return Err(Refused::Here("the setting runner is 'local'"));
        }
        let refused = |why: &str| Err(Refused::NotThere(why.to_owned()));
        let Some(runner) = self.remote() else { return refused("this server has no cluster") };
        let Some(portable) = &query.portable else { return refused("it has no plan that could be sent") };
        if writes(query) && scan_bytes(&portable.plan) == 0 {
            return Err(Refused::Here("what it writes is not read from files"));
        }
        if settings.runner == RunnerChoice::Auto {
            let (bytes, threshold) = (scan_bytes(&portable.plan), settings.cluster_threshold);
            if bytes <= threshold {
                let (bytes, threshold) = (ByteSize(bytes), ByteSize(threshold));
                return Err(Refused::NotThere(format!(
                    "it scans about {bytes}, not more than cluster_threshold ({threshold})"
                )));
            }
        }
        if runner.slots() == 0 {
            return Err(Refused::Nobody);
        }
        Ok((runner, portable))
    }
}

/// Counts one that waits, until it is dropped.
struct Waits<'a>(&'a AtomicU64);

impl<'a> Waits<'a> {
    fn of(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether it is, or explains, a statement that writes.
fn writes(query: &PhysicalQuery) -> bool {
    query.writes || query.explains_write()
}

/// Why a query is not computed elsewhere.
enum Refused {
    /// It has to be computed here, whatever the session wants.
    Here(&'static str),
    /// It can not be computed there.
    NotThere(String),
    /// It could be if there were a worker.
    Nobody,
}

impl Refused {
    /// What is told to whoever wants the cluster and nothing else, if there is a choice.
    fn error(&self) -> Option<Error> {
        match self {
            Self::Here(_) => None,
            Self::NotThere(why) => Some(
                Error::unsupported(format!("the query can not run in the cluster: {why}"))
                    .hint("SET runner = 'auto' runs locally what the cluster can not"),
            ),
            Self::Nobody => Some(
                Error::new(ErrorKind::Unavailable, NO_SLOTS)
                    .about(Subject::Query)
                    .hint("start workers, or SET runner = 'auto'"),
            ),
        }
    }
}

/// What is told of a query that runs in this process.
fn here(why: &str) -> String {
    format!("runs locally: {why}")
}

/// What is told of a query that does not run.
fn never(error: &Error) -> String {
    format!("does not run, because the setting runner is 'cluster': {}", error.message())
}

/// Bytes of the files that the plan scans, as far as its file groups tell; columns and rows that are left out of a file are
/// not known before it is read.
fn scan_bytes(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.downcast_ref::<DataSourceExec>().map_or(0, |scan| {
        let source: &dyn std::any::Any = scan.data_source().as_ref();
        let Some(config) = source.downcast_ref::<FileScanConfig>() else { return 0 };
        let files = config.file_groups.iter().flat_map(|group| group.files());
        files
            .map(|file| match &file.range {
                Some(range) => u64::try_from(range.end.saturating_sub(range.start)).unwrap_or(0),
                None => file.object_meta.size,
            })
            .fold(0, u64::saturating_add)
    });
    plan.children().into_iter().map(scan_bytes).fold(own, u64::saturating_add)
}
