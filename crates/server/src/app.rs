//! The server as one thing: made from a configuration, listening, and stopped in order.

mod tls;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tidemill_cluster::Coordinator;
use tidemill_cluster::transport::Transport;
use tidemill_engine::{Engine, Seams};
use tidemill_frontend::config::{check_bind, check_metrics_bind};
use tidemill_frontend::listen::ListenAddress;
use tidemill_frontend::{doors, listen};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::live::LiveConfig;
use crate::config::{Config, Problems};
use crate::{demo, machine};

pub use worker::WorkerApp;

/// Answers that are on their way when queries have ended get this long to arrive.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    engine: Arc<Engine>,
    listener: TcpListener,
    metrics: Option<TcpListener>,
    tls: Option<listen::TlsReloader>,
    cluster: Option<Cluster>,
}

/// The coordinator's part of a server.
#[derive(Debug)]
struct Cluster {
    coordinator: Arc<Coordinator>,
    address: SocketAddr,
}

/// Starts an engine as this configuration says; with demo data, if it says so.
///
/// # Errors
/// The data directory can not be used, or a part of the configuration contradicts another.
pub async fn open_engine(config: &Config) -> Result<Arc<Engine>> {
    let mut engine = config.engine.clone();
    if config.server.demo {
        let data_dir = engine.data_dir.clone();
        let made = tokio::task::spawn_blocking(move || demo::prepare(&data_dir, demo::DemoSize::default())).await??;
        engine.catalogs.insert(demo::CATALOG.to_owned(), made.catalog);
        for (name, value) in [("catalog", demo::CATALOG), ("schema", demo::SCHEMA)] {
            engine.settings.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    let seams = Seams { auth: config.auth.clone(), machine_memory: machine::memory_bytes() };
    Ok(Engine::start(engine, seams).await?)
}

impl App {
    /// Makes all parts, and binds the ports.
    ///
    /// # Errors
    /// A configuration that is not safe to serve, a port that is taken, a data directory that is in use.
    pub async fn build(config: Config) -> Result<Self> {
        config.http.check()?;
        config.flight_sql.check()?;
        let tls = tls(&config)?;
        let auth_required = config.auth.mode != tidemill_engine::auth::AuthMode::None;
        check_bind(&config.http.listen, auth_required, tls.is_some())?;
        if let Some(address) = &config.metrics.listen {
            check_metrics_bind(address, auth_required, config.http.public_metrics)?;
        }
        let engine = open_engine(&config).await?;
        let listener = bind(&config.http.listen, "http.listen").await?;
        let metrics = match &config.metrics.listen {
            Some(address) => Some(bind(address, "metrics.listen").await?),
            None => None,
        };
        let cluster = if config.cluster.enabled { Some(Cluster::start(&config, &engine).await?) } else { None };
        Ok(Self { config, engine, listener, metrics, tls, cluster })
    }

    /// The engine behind the doors.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Where the HTTP door listens.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Where the metrics have a listener of their own, if they have.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn metrics_address(&self) -> Result<Option<SocketAddr>> {
        Ok(self.metrics.as_ref().map(TcpListener::local_addr).transpose()?)
    }

    /// Where workers find this server, if it coordinates any.
    pub fn scheduler_address(&self) -> Option<SocketAddr> {
        self.cluster.as_ref().map(|cluster| cluster.address)
    }

    /// The URL of the HTTP door.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn url(&self) -> Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.address()?))
    }

    /// Serves until `shutdown`; then refuses what is new, lets queries end until the drain's deadline, and cancels the rest.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let Self { config, engine, listener, metrics, tls, cluster } = self;
        let drain = config.server.drain_timeout.0;
        let watching = match (&tls, &config.http.tls) {
            (Some(reloader), Some(paths)) => Some(tls::watch(reloader.clone(), paths.clone(), shutdown.clone())),
            _ => None,
        };
        let limits = config.http.listener();
        let doors = doors::Doors {
            http: Arc::new(config.http.clone()),
            metrics: config.metrics.clone(),
            flight_sql: Arc::new(config.flight_sql.clone()),
        };
        let live = Arc::new(LiveConfig::new(config, Arc::clone(&engine)));
        let routers = doors.routers(&engine, live);
        let api = listen::serve(listener, routers.api, &limits, tls.clone(), shutdown.clone(), drain + LAST_ANSWERS);
        // Whoever watches the server wants to see it drain too.
        let drained = CancellationToken::new();
        let watched = async {
            match (metrics, routers.metrics) {
                (Some(listener), Some(router)) => {
                    listen::serve(listener, router, &limits, tls, drained.clone(), LAST_ANSWERS).await
                }
                _ => Ok(()),
            }
        };
        let stopping = async {
            shutdown.cancelled().await;
            engine.shutdown(drain).await;
            // Queries need the workers to their end.
            if let Some(cluster) = cluster {
                cluster.coordinator.shutdown().await;
            }
            drained.cancel();
        };
        let (served, seen, ()) = tokio::join!(api, watched, stopping);
        if let Some(watching) = watching {
            watching.abort();
        }
        Ok(served.and(seen)?)
    }
}

impl Cluster {
    async fn start(config: &Config, engine: &Arc<Engine>) -> Result<Self> {
        let transport = Transport::open(&config.cluster.transport())?;
        for address in config.cluster.listen.addresses() {
            transport.check_bind(*address, "cluster.listen")?;
        }
        let listener = bind(&config.cluster.listen, "cluster.listen").await?;
        let address = listener.local_addr()?;
        let coordinator = Coordinator::start(config.cluster.coordinator(), transport, listener).await?;
        engine.attach(coordinator.runner())?;
        Ok(Self { coordinator, address })
    }
}

/// The TLS of the doors, if the configuration says that they have it.
///
/// # Errors
/// Naming the key of a file that can not be read or used.
pub fn tls(config: &Config) -> Result<Option<listen::TlsReloader>, Problems> {
    config.http.tls.as_ref().map(|paths| tls::load(paths, &config.effective)).transpose()
}

async fn bind(address: &ListenAddress, key: &str) -> Result<TcpListener> {
    TcpListener::bind(address.addresses()).await.with_context(|| format!("cannot listen on {address} ({key})"))
}
