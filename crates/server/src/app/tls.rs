//! TLS files: read at start, and again when they change.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tidemill_engine::Error;
use tidemill_frontend::config::TlsPaths;
use tidemill_frontend::listen::TlsReloader;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Effective, Key, Problem, Problems};

/// How often the files are looked at; renewals happen days before the old certificate ends.
const PERIOD: Duration = Duration::from_secs(5);

/// What the files hold, and when they were changed.
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What is wrong with the files, and the key below `http.tls` of the one that it is wrong with.
#[derive(Debug)]
struct Broken {
    key: &'static str,
    message: String,
}

/// Reads the files. A server whose TLS is broken does not start.
pub(super) fn load(paths: &TlsPaths, effective: &Effective) -> Result<TlsReloader, Problems> {
    let loaded =
        Files::read(paths).and_then(|files| Ok(TlsReloader::new(&files.cert, &files.key, files.client_ca.as_deref())?));
    loaded.map_err(|Broken { key, message }| {
        let key = Key::default().child("http").child("tls").child(key);
        let origin = effective.origin(&key).cloned();
        Problems(vec![Problem::with_key(key, origin, message)])
    })
}

/// Takes up changed files until `shutdown`; broken ones are logged, and the old ones stay in use.
pub(super) fn watch(reloader: TlsReloader, paths: TlsPaths, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut seen = changed_at(&paths);
        let mut hangup = hangup();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {
                    let now = changed_at(&paths);
                    if now == seen {
                        continue;
                    }
                    seen = now;
                }
                () = hangup.recv() => {}
            }
            let renewed = Files::read(&paths).and_then(|files| Ok(reloader.reload(&files.cert, &files.key)?));
            match renewed {
                Ok(()) => tracing::info!(cert = %paths.cert.display(), "took up the changed TLS certificate"),
                Err(error) => tracing::error!("the changed TLS files can not be used, the old ones stay: {error}"),
            }
        }
    })
}

impl Files {
    fn read(paths: &TlsPaths) -> Result<Self, Broken> {
        let read = |path: &Path, key| {
            let unreadable = |error| Broken { key, message: format!("cannot read '{}': {error}", path.display()) };
            fs::read(path).map_err(unreadable)
        };
        Ok(Self {
            cert: read(&paths.cert, "cert")?,
            key: read(&paths.key, "key")?,
            client_ca: paths.client_ca.as_deref().map(|path| read(path, "client_ca")).transpose()?,
        })
    }
}

/// The message says which part is meant; without a certificate there is no TLS at all.
impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        let hint = error.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
        Self { key: "cert", message: format!("{}{hint}", error.message()) }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http.tls.{}: {}", self.key, self.message)
    }
}

fn changed_at(paths: &TlsPaths) -> [Option<SystemTime>; 2] {
    [&paths.cert, &paths.key].map(|path| fs::metadata(path).and_then(|found| found.modified()).ok())
}

/// SIGHUP, where there is such a thing.
struct Hangup(Option<tokio::signal::unix::Signal>);

fn hangup() -> Hangup {
    Hangup(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok())
}

impl Hangup {
    async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}
