//! A whole server, on a free port and a temporary data directory, inside the test's process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tempfile::TempDir;
use tidemill_engine::{Engine, Session};
use tidemill_server::app::{App, WorkerApp};
use tidemill_server::config::{Config, Sources, load};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running server; it stops when dropped.
pub struct TestServer {
    engine: Arc<Engine>,
    address: SocketAddr,
    scheduler: Option<SocketAddr>,
    shutdown: CancellationToken,
    _stop: DropGuard,
    data_dir: TempDir,
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
        let app = App::build(configured(defaults.iter().chain(keys))?).await?;
        let (engine, address, scheduler) = (Arc::clone(app.engine()), app.address()?, app.scheduler_address());
        let shutdown = CancellationToken::new();
        tokio::spawn(app.run(shutdown.clone()));
        let stop = shutdown.clone().drop_guard();
        Ok(Self { engine, address, scheduler, shutdown, _stop: stop, data_dir })
    }

    /// A coordinator with so many workers, which have joined.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn with_workers(count: usize) -> anyhow::Result<Self> {
        let server = Self::with(&[("cluster.enabled", "true"), ("cluster.listen", "127.0.0.1:0")]).await?;
        for number in 0..count {
            server.add_worker(number).await?;
        }
        Ok(server)
    }

    async fn add_worker(&self, number: usize) -> anyhow::Result<()> {
        let scheduler = self.scheduler.context("the server has no cluster")?.to_string();
        let work_dir = self.data_dir().join(format!("worker-{number}"));
        let keys = [
            ("worker.coordinator", &*scheduler),
            ("worker.listen", "127.0.0.1:0"),
            ("worker.slots", "2"),
            ("worker.work_dir", &*work_dir.to_string_lossy()),
        ];
        let worker = WorkerApp::build(configured(keys.iter())?).await?;
        let (joined, mut ids) = mpsc::unbounded_channel();
        let shutdown = self.shutdown.clone();
        tokio::spawn(worker.run(shutdown, move |id| drop(joined.send(id.to_owned()))));
        ids.recv().await.context("the worker did not join")?;
        Ok(())
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

/// The configuration with these keys. The environment is an empty one: the variables of whoever runs the tests must not change them.
fn configured<'a>(keys: impl Iterator<Item = &'a (&'a str, &'a str)>) -> anyhow::Result<Config> {
    let sources =
        keys.fold(Sources::default(), |sources, (key, value)| sources.flag(format!("test {key}"), *key, *value));
    load(&sources).map_err(|problems| anyhow::anyhow!("{problems}"))
}
