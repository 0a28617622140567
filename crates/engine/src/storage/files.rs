//! Storage as the rest of the engine uses it: one runtime environment for planning, tables opened from their definitions,
//! and the check of what statements may name.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;

use super::{ExternalTable, Location, ReadCall, StoragePolicy, Stores, TableDefinition, folder};
use crate::catalog::OpenTable;
use crate::config::EngineConfig;
use crate::error::Result;

/// Part of the data directory that statements may read: demo data.
const SHOWN: &str = "demo";

/// Part of the data directory for files that web servers send only whole.
const SPOOL: &str = "web";

/// Storage as the rest of the engine uses it.
pub(crate) struct Files {
    policy: Arc<StoragePolicy>,
    runtime: Arc<RuntimeEnv>,
}

impl Files {
    /// Nothing is contacted.
    pub(crate) fn open(config: &EngineConfig, io: &Handle) -> Result<Arc<Self>> {
        let shown: [PathBuf; 1] = [config.data_dir.join(SHOWN)];
        let policy = Arc::new(StoragePolicy::new(&config.storage, &config.data_dir, &shown)?);
        let stores: Arc<dyn ObjectStoreRegistry> =
            Arc::new(Stores::new(config.storage.clone(), config.data_dir.join(SPOOL), io.clone()));
        let cache = usize::try_from(config.storage.metadata_cache.0).unwrap_or(usize::MAX);
        let listing_ttl = config.storage.listing_ttl.limit();
        let caches = CacheManagerConfig::default()
            .with_metadata_cache_limit(cache)
            .with_list_files_cache_limit(if listing_ttl.is_some() { cache / 8 } else { 0 })
            .with_list_files_cache_ttl(listing_ttl);
        let runtime =
            RuntimeEnvBuilder::new().with_object_store_registry(stores).with_cache_manager(caches).build_arc()?;
        Ok(Arc::new(Self { policy, runtime }))
    }

    /// What statements are planned with.
    pub(crate) fn runtime_env(&self) -> Arc<RuntimeEnv> {
        Arc::clone(&self.runtime)
    }

    /// Opens what a statement names by its files.
    pub(crate) async fn read(&self, call: &ReadCall, state: &SessionState) -> Result<Arc<dyn TableProvider>> {
        call.open(&self.policy, state).await
    }

    /// Refuses to write to a URL or path that statements may not name, or that is no place for files.
    pub(crate) fn check_target(&self, target: &str) -> Result<()> {
        self.policy.check_allowed(Location::parse_target(target)?.url())
    }

    /// Opens the tables of the catalogs.
    pub(crate) fn opener(self: &Arc<Self>, state: SessionState) -> Arc<dyn OpenTable> {
        Arc::new(Opener { files: Arc::clone(self), state: Arc::new(state) })
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Opens the tables of the catalogs.
#[derive(Debug)]
struct Opener {
    files: Arc<Files>,
    state: Arc<SessionState>,
}

impl OpenTable for Opener {
    fn open(&self, definition: &TableDefinition) -> BoxFuture<'static, Result<Arc<dyn TableProvider>>> {
        let definition = definition.clone();
        let (policy, state) = (Arc::clone(&self.files.policy), Arc::clone(&self.state));
        async move { ExternalTable::open(definition, &policy, state.as_ref()).await }.boxed()
    }

    fn list(&self, folder: &str) -> BoxFuture<'static, Result<Vec<(String, TableDefinition)>>> {
        let (folder, runtime) = (folder.to_owned(), self.files.runtime_env());
        async move { folder::tables(&folder, &runtime).await }.boxed()
    }
}
