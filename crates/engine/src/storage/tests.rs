//! Files on this machine, from what a statement names to rows and back.

mod commit;
mod external;
mod policy;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::{ExternalTable, StoragePolicy, Stores, TableDefinition};
use crate::Result;
use crate::config::{S3Config, StorageConfig};
use crate::units::{ByteSize, Span};

fn config(allowed: &[&str]) -> StorageConfig {
    StorageConfig {
        allowed: allowed.iter().map(|prefix| (*prefix).to_owned()).collect(),
        max_files_per_scan: 5,
        metadata_cache: ByteSize(1 << 20),
        max_whole_file_bytes: ByteSize(1 << 20),
        listing_ttl: Span(Duration::ZERO),
        request_timeout: Span(Duration::from_secs(5)),
        max_retries: 0,
        stall_timeout: Span(Duration::from_secs(5)),
        s3: S3Config::default(),
        buckets: BTreeMap::new(),
    }
}

fn stores() -> Arc<dyn ObjectStoreRegistry> {
    Arc::new(Stores::new(config(&[]), "never-used".into(), Handle::current()))
}

fn context(registry: Arc<dyn ObjectStoreRegistry>) -> SessionContext {
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(registry).build_arc().unwrap();
    SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(2), runtime)
}

/// A folder of files, and a session that reads them.
struct Files {
    folder: TempDir,
    context: SessionContext,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), context: context(stores()) }
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let this = Self::new();
        for (name, text) in files {
            this.write(name, text);
        }
        this
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.path().display())
    }

    async fn open_definition(&self, definition: TableDefinition) -> Result<Arc<dyn TableProvider>> {
        let policy = StoragePolicy::new(&config(&["/"]), Path::new("/nonexistent/data"), &[])?;
        ExternalTable::open(definition, &Arc::new(policy), &self.context.state()).await
    }

    async fn open(&self, name: &str, options: &[(&str, &str)]) -> Result<Arc<dyn TableProvider>> {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let locations = vec![self.path(name)];
        self.open_definition(TableDefinition { locations, options, ..TableDefinition::default() }).await
    }

    /// The rows that `sql` reads from table `t`, which is the files of that name, as lines of text.
    async fn rows(&self, name: &str, options: &[(&str, &str)], sql: &str) -> Vec<String> {
        let table = self.open(name, options).await.unwrap();
        self.query(table, sql).await
    }

    async fn query(&self, table: Arc<dyn TableProvider>, sql: &str) -> Vec<String> {
        self.context.deregister_table("t").unwrap();
        self.context.register_table("t", table).unwrap();
        let batches = self.context.sql(sql).await.unwrap().collect().await.unwrap();
        let drawn = pretty_format_batches(&batches).unwrap().to_string();
        let cells = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",");
        drawn.lines().filter(|line| line.starts_with('|')).skip(1).map(cells).collect()
    }

    async fn failure(&self, name: &str, options: &[(&str, &str)]) -> crate::Error {
        self.open(name, options).await.unwrap_err()
    }
}
