//! The object stores of the server, each made when a URL first names its bucket or host.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::client::SpawnedReqwestConnector;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use url::{Position, Url};

use super::place::PlacedStore;
use super::stall::WatchedStore;
use super::{http, s3};
use crate::config::StorageConfig;
use crate::{Error, Result};

/// Clients that are kept; the one made first makes room for a new one.
const MAX_STORES: usize = 256;

/// The object stores of the server. Requests to remote ones run on the IO runtime, whichever runtime the query runs on.
pub(crate) struct Stores {
    config: StorageConfig,
    io: Handle,
    local: Arc<LocalFileSystem>,
    spool: Arc<http::Spool>,
    remote: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    by_key: HashMap<String, Arc<dyn ObjectStore>>,
    oldest_first: VecDeque<String>,
}

impl Stores {
    /// The stores that the configuration describes. Nothing is contacted. What web servers send only whole is kept in the
    /// folder `spool`.
    pub(crate) fn new(config: StorageConfig, spool: PathBuf, io: Handle) -> Self {
        let spool = http::Spool::new(spool, config.max_whole_file_bytes.0);
        Self { config, io, local: Arc::new(LocalFileSystem::new()), spool, remote: Mutex::default() }
    }

    /// The store that holds what `url` names.
    ///
    /// # Errors
    /// `Unsupported` for a scheme without a store, `Invalid` for a store whose configuration contradicts itself.
    pub(crate) fn store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == "file" {
            return Ok(Arc::clone(&self.local) as Arc<dyn ObjectStore>);
        }
        let key = key(url);
        if let Some(store) = self.remote.lock().by_key.get(&key) {
            return Ok(Arc::clone(store));
        }
        let watched = WatchedStore::of(self.connect(url)?, url, self.config.stall_timeout.limit());
        let store = Arc::new(PlacedStore::new(watched, url.clone()));
        Ok(self.remote.lock().insert(key, store))
    }

    fn connect(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let connector = SpawnedReqwestConnector::new(self.io.clone());
        match url.scheme() {
            "s3" | "s3a" => {
                let bucket = url.host_str().unwrap_or_default();
                let config = self.config.buckets.get(bucket).unwrap_or(&self.config.s3);
                s3::connect(bucket, config, self.client_options(), self.retries(), connector)
            }
            "http" | "https" => {
                let connector = http::Connector { inner: connector, spool: Arc::clone(&self.spool) };
                http::connect(url, self.client_options(), self.retries(), connector)
            }
            other => Err(unsupported(other)),
        }
    }

    fn client_options(&self) -> ClientOptions {
        let timeout = self.config.request_timeout.0;
        if timeout.is_zero() {
            return ClientOptions::new().with_timeout_disabled();
        }
        ClientOptions::new().with_timeout(timeout).with_connect_timeout(timeout)
    }

    fn retries(&self) -> RetryConfig {
        let attempts = u32::try_from(self.config.max_retries).unwrap_or(u32::MAX).saturating_add(1);
        RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: self.config.max_retries,
            retry_timeout: self.config.request_timeout.0.saturating_mul(attempts),
        }
    }
}

impl Clients {
    /// Keeps `store` unless another request was faster; returns the one that is kept.
    fn insert(&mut self, key: String, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        if let Some(known) = self.by_key.get(&key) {
            return Arc::clone(known);
        }
        if self.by_key.len() >= MAX_STORES
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_key.remove(&oldest);
        }
        self.oldest_first.push_back(key.clone());
        self.by_key.insert(key, Arc::clone(&store));
        store
    }

    fn remove(&mut self, key: &str) -> Option<Arc<dyn ObjectStore>> {
        self.oldest_first.retain(|known| known != key);
        self.by_key.remove(key)
    }
}

/// Says which schemes there are, naming the one that was asked for.
pub(super) fn unsupported(scheme: &str) -> Error {
    let name = match scheme {
        "gs" | "gcs" => "Google Cloud Storage",
        "az" | "azure" | "abfs" | "abfss" | "adl" => "Azure Storage",
        "hdfs" => "HDFS",
        _ => "this kind of storage",
    };
    Error::unsupported(format!("no storage for {scheme}:// URLs: {name} is not supported"))
        .hint("use a local path, file://, s3://, http:// or https://")
}

/// Scheme, user name (which holds an HTTP URL's query), host and port.
fn key(url: &Url) -> String {
    url[..Position::BeforePath].to_owned()
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        let mut remote = self.remote.lock();
        let replaced = remote.remove(&key(url));
        remote.insert(key(url), store);
        replaced
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let removed = self.remote.lock().remove(&key(url));
        removed.ok_or_else(|| DataFusionError::Internal(format!("no object store is registered for {}", key(url))))
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        Ok(self.store(url)?)
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("clients", &self.remote.lock().by_key.len()).finish_non_exhaustive()
    }
}
