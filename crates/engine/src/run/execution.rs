//! What one query runs with: its share of memory, its spill space, its view of the stores.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::disk_manager::DiskManager;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;

use super::environment::prepare;
use super::{AccountedPool, Work};
use crate::error::{Error, Result};
use crate::plan::Portable;
use crate::query::QueryHandle;
use crate::storage::{FileCommit, counted};

/// The environment of one running query.
#[derive(Debug)]
pub(crate) struct Execution {
    handle: Arc<QueryHandle>,
    context: Arc<TaskContext>,
    pool: Arc<AccountedPool>,
    /// Writes to storage, which become visible together at the end.
    writes: Mutex<Option<FileCommit>>,
}

impl Execution {
    pub(crate) fn new(
        handle: &Arc<QueryHandle>,
        config: SessionConfig,
        base: &RuntimeEnv,
        pool: Arc<AccountedPool>,
        disk: Arc<DiskManager>,
        writes: Option<FileCommit>,
    ) -> Self {
        let counted = counted(Arc::clone(&base.object_store_registry), handle.meter().reads());
        let stores = match &writes {
            Some(commit) => commit.registry(counted),
            None => counted,
        };
        let runtime = RuntimeEnv {
            memory_pool: Arc::clone(&pool) as Arc<dyn MemoryPool>,
            disk_manager: disk,
            cache_manager: Arc::clone(&base.cache_manager),
            object_store_registry: stores,
        };
        // Functions are bound into the plan already; the maps serve plans that arrive as bytes.
        let context = TaskContext::new(
            Some(handle.id().to_string()),
            handle.session_id().to_owned(),
            config,
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            Arc::new(runtime),
        );
        Self { handle: Arc::clone(handle), context: Arc::new(context), pool, writes: Mutex::new(writes) }
    }

    /// The query that runs.
    pub(crate) fn handle(&self) -> &Arc<QueryHandle> {
        &self.handle
    }

    /// Starts a plan; its progress is the query's from here on.
    pub(crate) fn start(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
        let plan = prepare(Arc::clone(plan), self.context.runtime_env().as_ref())?;
        self.handle.meter().watch(&plan, Arc::clone(&self.pool));
        self.execute(plan)
    }

    /// Starts a plan that tells nothing of the query's progress.
    pub(crate) fn begin(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
        self.execute(prepare(Arc::clone(plan), self.context.runtime_env().as_ref())?)
    }

    fn execute(&self, prepared: Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
        Ok(execute_stream(prepared, Arc::clone(&self.context))?)
    }

    /// The memory of the query.
    pub(crate) fn pool(&self) -> Arc<AccountedPool> {
        Arc::clone(&self.pool)
    }

    /// What a runner has to know to compute the plan elsewhere.
    ///
    /// # Errors
    /// The runner has no plan for it.
    pub(crate) fn work(&self, portable: Portable) -> Result<Work> {
        let handle = &self.handle;
        let Some(Ok(distributed)) = portable.distributed else {
            return Err(Error::internal("what has no plan for it was to run elsewhere"));
        };
        Ok(Work {
            id: handle.id(),
            session_id: handle.session_id().to_owned(),
            principal: handle.principal().to_owned(),
            plan: portable.plan,
            distributed,
            state: portable.state,
            deadline: handle.deadline(),
            cancel: handle.token().clone(),
            read_only: true,
            tasks: handle.meter().tasks().clone(),
            memory: Arc::clone(&self.pool) as Arc<dyn MemoryPool>,
        })
    }

    /// Makes everything that was written visible.
    pub(crate) async fn commit(&self) -> Result<()> {
        let writes = self.writes.lock().take();
        match writes {
            Some(writes) => writes.commit().await.map(drop),
            None => Ok(()),
        }
    }

    /// Why a plan that writes failed: the reason that storage gave, if it was storage.
    pub(crate) fn why_not_written(&self, error: Error) -> Error {
        self.writes.lock().as_ref().and_then(FileCommit::failure).unwrap_or(error)
    }

    /// Takes back everything that was written.
    pub(crate) async fn rollback(&self) {
        let writes = self.writes.lock().take();
        if let Some(writes) = writes {
            writes.abort().await;
        }
    }
}
