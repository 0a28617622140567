//! A whole server, on a free port and a temporary data directory, inside the test's process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tidemill_engine::{Engine, Session};
use tidemill_server::app::App;
use tidemill_server::config::{Sources, load};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running server; it stops when dropped.
pub struct TestServer {
    engine: Arc<Engine>,
    address: SocketAddr,
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
        // An empty environment: the variables of whoever runs the tests must not change them.
        let sources = defaults
            .iter()
            .chain(keys)
            .fold(Sources::default(), |sources, (key, value)| sources.flag(format!("test {key}"), *key, *value));
        let config = load(&sources).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let app = App::build(config).await?;
        let (engine, address) = (Arc::clone(app.engine()), app.address()?);
        let shutdown = CancellationToken::new();
        tokio::spawn(app.run(shutdown.clone()));
        Ok(Self { engine, address, _stop: shutdown.drop_guard(), data_dir })
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
