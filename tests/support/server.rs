//! A whole server, on a free port and a temporary data directory, inside the test's process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use tempfile::TempDir;
use tidemill_engine::{Engine, Session};
use tidemill_server::app::{App, WorkerApp};
use tidemill_server::config::{Config, Sources, load};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running server; it stops when dropped.
pub struct TestServer {
    engine: Arc<Engine>,
    address: SocketAddr,
    _stop: DropGuard,
    data_dir: TempDir,
    /// Those of the workers; kept until they stop.
    _worker_dirs: Vec<TempDir>,
}

impl std::fmt::Debug for TestServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestServer").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl TestServer {
    /// A server on the defaults.
    ///
    /// # Errors
    /// When the server does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::with(&[]).await
    }

    /// A server on the defaults and these keys: `TestServer::with(&[("admission.max_running", "2")])`.
    ///
    /// # Errors
    /// When the configuration does not hold or the server does not start.
    pub async fn with(keys: &[(&str, &str)]) -> anyhow::Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let defaults = [("http.listen", "127.0.0.1:0"), ("server.data_dir", &*data_dir.path().to_string_lossy())];
        let app = App::build(configuration(defaults.iter().chain(keys))?).await?;
        let (engine, address) = (Arc::clone(app.engine()), app.address()?);
        let shutdown = CancellationToken::new();
        tokio::spawn(app.run(shutdown.clone()));
        Ok(Self { engine, address, _stop: shutdown.drop_guard(), data_dir, _worker_dirs: Vec::new() })
    }

    /// A coordinator whose sessions prefer the cluster, and workers of one slot each.
    ///
    /// # Errors
    /// When one of them does not start, or the workers do not join.
    pub async fn with_workers(count: usize) -> anyhow::Result<Self> {
        let data_dir = tempfile::tempdir()?;
        let keys = [
            ("http.listen", "127.0.0.1:0"),
            ("server.data_dir", &*data_dir.path().to_string_lossy()),
            ("cluster.enabled", "true"),
            ("cluster.listen", "127.0.0.1:0"),
            ("settings.runner", "cluster"),
        ];
        let app = App::build(configuration(&keys)?).await?;
        let (engine, address) = (Arc::clone(app.engine()), app.address()?);
        let coordinator = app.scheduler_address().context("there is no cluster")?.to_string();
        let shutdown = CancellationToken::new();
        tokio::spawn(app.run(shutdown.clone()));
        let mut worker_dirs = Vec::new();
        for _ in 0..count {
            let worker_dir = tempfile::tempdir()?;
            let keys = [
                ("worker.coordinator", &*coordinator),
                ("worker.listen", "127.0.0.1:0"),
                ("worker.slots", "1"),
                ("server.data_dir", &*worker_dir.path().to_string_lossy()),
            ];
            let worker = WorkerApp::build(configuration(&keys)?).await?;
            let (join, joined) = oneshot::channel();
            let join = Mutex::new(Some(join));
            let stop = shutdown.clone();
            tokio::spawn(async move {
                let tell = |_: &str| {
                    let join = join.lock().ok().and_then(|mut join| join.take());
                    join.and_then(|join| join.send(()).ok()).unwrap_or_default();
                };
                worker.run(stop, tell).await
            });
            joined.await.context("a worker did not join")?;
            worker_dirs.push(worker_dir);
        }
        Ok(Self { engine, address, _stop: shutdown.drop_guard(), data_dir, _worker_dirs: worker_dirs })
    }

    /// The engine behind the doors.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// A new session of nobody in particular.
    ///
    /// # Errors
    /// When there are too many sessions.
    pub fn session(&self) -> tidemill_engine::Result<Arc<Session>> {
        let principal = self.engine().authenticator().anonymous()?;
        self.engine().sessions().open(self.engine(), principal)
    }

    /// Where the HTTP door listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path: `server.url("/v1/query")`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Where history, results and spill files live.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }
}

/// The defaults and these keys. The environment is empty: the variables of whoever runs the tests must not change them.
fn configuration<'a>(keys: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> anyhow::Result<Config> {
    let sources = keys
        .into_iter()
        .fold(Sources::default(), |sources, (key, value)| sources.flag(format!("test {key}"), *key, *value));
    load(&sources).map_err(|problems| anyhow::anyhow!("{problems}"))
}
