//! Connections to other workers, for reading what they have written. They are made and driven on the runtime of IO, so that a
//! busy task does not keep pings from being answered.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::{BallistaError, Result};
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;
use parking_lot::Mutex;
use tokio::runtime::Handle;

/// Connections that are kept for one worker while nobody uses them.
const IDLE_PER_WORKER: usize = 8;
/// Workers that connections are kept for.
const WORKERS: usize = 256;

type Idle = Arc<Mutex<HashMap<(String, u16), Vec<BallistaClient>>>>;

/// The idle connections.
pub(super) struct ClientPool {
    io: Handle,
    idle: Idle,
}

impl std::fmt::Debug for ClientPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientPool").finish_non_exhaustive()
    }
}

impl ClientPool {
    /// A pool whose connections live on the runtime that calls it.
    pub(super) fn new() -> Self {
        Self { io: Handle::current(), idle: Idle::default() }
    }
}

#[async_trait]
impl BallistaClientPool for ClientPool {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let key = (host.to_owned(), port);
        let kept = self.idle.lock().get_mut(&key).and_then(Vec::pop);
        let client = match kept {
            Some(client) => client,
            None => {
                let (host, config) = (host.to_owned(), config.clone());
                let connecting = self.io.spawn(async move { connect(&host, port, &config, customize_endpoint).await });
                connecting.await.map_err(|error| BallistaError::Internal(format!("connecting was lost: {error}")))??
            }
        };
        let idle = Arc::clone(&self.idle);
        Ok(PooledClient::new(client, Box::new(move |client| keep(&idle, key, client))))
    }

    async fn evict_idle(&self) {
        self.idle.lock().clear();
    }
}

async fn connect(
    host: &str,
    port: u16,
    config: &GrpcClientConfig,
    customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
) -> Result<BallistaClient> {
    BallistaClient::try_new(
        host,
        port,
        config.max_message_size,
        config.use_tls,
        customize_endpoint,
        config.io_retries_times,
        config.io_retry_wait_time_ms,
        config.initial_connection_window_size,
        config.initial_stream_window_size,
    )
    .await
}

fn keep(idle: &Idle, key: (String, u16), client: BallistaClient) {
    let mut idle = idle.lock();
    if idle.len() >= WORKERS && !idle.contains_key(&key) {
        // Most of them have left the cluster.
        idle.clear();
    }
    let clients = idle.entry(key).or_default();
    if clients.len() < IDLE_PER_WORKER {
        clients.push(client);
    }
}
