//! What plans are computed with on one machine: threads, accounted memory, spill space, stores, functions. The engine has one,
//! and so has a worker, which needs nothing else of the engine: no catalogs, history or doors.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use datafusion::execution::disk_manager::DiskManager;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::pace::paced;
use super::portion::portioned;
use super::{AccountedPool, CpuPool, MemoryBudget, SpillArea, reads};
use crate::config::EngineConfig;
use crate::data_dir::DataDir;
use crate::error::{Error, Result};
use crate::plan::{base_state, follow_config};
use crate::query::Permit;
use crate::storage::{Files, ReadCounter, counted};
use crate::units::Share;

/// Often enough that a spill quota is passed by little.
const PERIOD: Duration = Duration::from_millis(250);

/// Work that can be ended from outside, with the error that says why.
pub trait Abort: fmt::Debug + Send + Sync {
    /// Ends it with this error.
    fn abort(&self, error: Error);
}

/// What plans are computed with on one machine.
#[derive(Debug)]
pub struct TaskEnvironment {
    pub(crate) cpu: Arc<CpuPool>,
    pub(crate) io: Handle,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) spill: Arc<SpillArea>,
    pub(crate) files: Arc<Files>,
    /// What every statement is planned with, but for its settings and its view of the catalogs.
    pub(crate) base_state: SessionState,
    per_query: Share,
    data_dir: PathBuf,
    /// Present in a worker, which has nobody else to hold it and to look after its quotas.
    _own: Option<(Arc<DataDir>, DropGuard)>,
}

impl TaskEnvironment {
    /// Opens the environment of a worker on the runtime that calls it, which serves IO; tasks compute on threads of their own.
    /// `machine_memory` is the memory of the machine or its cgroup in bytes: what `memory.limit` may be a share of.
    ///
    /// # Errors
    /// A data directory or spill directory that can not be used, or is in use by another process.
    pub async fn open(config: &EngineConfig, machine_memory: u64) -> Result<Arc<Self>> {
        let opening = config.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let data_dir = Arc::new(DataDir::claim_for_worker(&opening.data_dir)?);
            let spill = Arc::new(SpillArea::open(&opening.spill, data_dir.path())?);
            Ok::<_, Error>((data_dir, spill))
        });
        let (data_dir, spill) = opened.await.map_err(|error| Error::internal("start was lost").caused_by(error))??;
        let stop = CancellationToken::new();
        let mut environment = Self::new(config, machine_memory, Arc::clone(&spill))?;
        environment._own = Some((data_dir, stop.clone().drop_guard()));
        watch(Arc::downgrade(&spill), stop);
        Ok(Arc::new(environment))
    }

    /// That of the engine.
    pub(crate) fn new(config: &EngineConfig, machine_memory: u64, spill: Arc<SpillArea>) -> Result<Self> {
        let io = Handle::current();
        let cpu = Arc::new(CpuPool::new(config.runtime.cpu_threads)?);
        let files = Files::open(config, &io)?;
        let base_state = base_state(files.runtime_env(), cpu.threads())?;
        Ok(Self {
            cpu,
            io,
            budget: Arc::new(MemoryBudget::new(config.memory.limit.of(machine_memory))),
            spill,
            files,
            base_state,
            per_query: config.memory.per_query,
            data_dir: config.data_dir.clone(),
            _own: None,
        })
    }

    /// A state with every function of SQL, for plans that arrive as bytes.
    pub fn session_state(&self) -> SessionState {
        self.base_state.clone()
    }

    /// The same, with the settings that a statement was planned with. Functions that depend on them, such as those that know
    /// the time zone, follow them.
    ///
    /// # Errors
    /// None that a valid configuration leads to.
    pub fn session_state_for(&self, config: SessionConfig) -> Result<SessionState> {
        let mut state = self.base_state.clone();
        let follows = config.options().execution.time_zone != state.config_options().execution.time_zone;
        *state.config_mut() = config;
        if follows {
            follow_config(&mut state)?;
        }
        Ok(state)
    }

    /// The stores with the configured credentials, and the caches that all queries share.
    pub fn runtime_env(&self) -> Arc<RuntimeEnv> {
        self.files.runtime_env()
    }

    /// What one query computes with here: a share of the memory, at most `memory_limit` bytes of it if that is given; spill
    /// space; the stores, with a count of what is read. `owner` is told when the query must end because all together spilled
    /// too much.
    ///
    /// # Errors
    /// Spill space that can not be had.
    pub fn query_runtime_env(&self, memory_limit: Option<u64>, owner: Weak<dyn Abort>) -> Result<QueryRuntime> {
        let limit = memory_limit.map(|limit| Share::Bytes(crate::units::ByteSize(limit)));
        let pool = self.pool(limit, None);
        let disk = self.spill.for_query(owner)?;
        let reads = Arc::<ReadCounter>::default();
        let base = self.files.runtime_env();
        let env = RuntimeEnv {
            memory_pool: Arc::clone(&pool) as Arc<dyn MemoryPool>,
            disk_manager: Arc::clone(&disk),
            cache_manager: Arc::clone(&base.cache_manager),
            object_store_registry: counted(Arc::clone(&base.object_store_registry), Arc::clone(&reads)),
        };
        Ok(QueryRuntime { env: Arc::new(env), pool, disk, reads })
    }

    /// The plan as it is executed here: with pauses where operators make none, and reading through the query's own stores.
    ///
    /// # Errors
    /// A scan of a store that there is not.
    pub fn prepare(&self, plan: Arc<dyn ExecutionPlan>, runtime: &RuntimeEnv) -> Result<Arc<dyn ExecutionPlan>> {
        prepare(plan, runtime)
    }

    /// The threads that compute.
    pub fn cpu(&self) -> Handle {
        self.cpu.handle()
    }

    /// How many threads compute.
    pub fn cpu_threads(&self) -> usize {
        self.cpu.threads()
    }

    /// Memory reserved now, in bytes.
    pub fn memory_used(&self) -> u64 {
        self.budget.used()
    }

    /// Memory that may be reserved, in bytes.
    pub fn memory_limit(&self) -> u64 {
        self.budget.limit()
    }

    /// Bytes of spill files.
    pub fn spilled(&self) -> u64 {
        self.spill.used()
    }

    /// The directory that belongs to this process.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The memory of one query: what its own setting asks for, within what the server allows.
    pub(crate) fn pool(&self, own: Option<Share>, permit: Option<Permit>) -> Arc<AccountedPool> {
        let server = self.per_query.of(self.budget.limit());
        let (limit, key) = match own {
            Some(share) => (share.of(self.budget.limit()).min(server), "memory_limit"),
            None => (server, "memory.per_query"),
        };
        Arc::new(AccountedPool::new(Arc::clone(&self.budget), limit, key, permit))
    }
}

/// The plan as it is executed in this process.
pub(super) fn prepare(plan: Arc<dyn ExecutionPlan>, runtime: &RuntimeEnv) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(reads::through(paced(portioned(plan)?)?, runtime)?)
}

/// Ends what spilled most, as long as all together spilled too much.
fn watch(spill: Weak<SpillArea>, stop: CancellationToken) {
    let enforce = async move {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while let Some(spill) = spill.upgrade() {
            spill.enforce();
            drop(spill);
            ticks.tick().await;
        }
    };
    // It ends by the token, when the environment is dropped.
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = enforce => {}
        }
    });
}

/// What one query computes with on one machine, and what it took of it.
#[derive(Debug)]
pub struct QueryRuntime {
    env: Arc<RuntimeEnv>,
    pool: Arc<AccountedPool>,
    disk: Arc<DiskManager>,
    reads: Arc<ReadCounter>,
}

impl QueryRuntime {
    /// What plans are executed with.
    pub fn env(&self) -> &Arc<RuntimeEnv> {
        &self.env
    }

    /// Memory reserved now, in bytes.
    pub fn memory_used(&self) -> u64 {
        self.pool.used()
    }

    /// The most memory reserved at once, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.pool.peak()
    }

    /// Bytes of spill files.
    pub fn spilled(&self) -> u64 {
        self.disk.used_disk_space()
    }

    /// Bytes read from storage.
    pub fn bytes_read(&self) -> u64 {
        self.reads.bytes()
    }
}
