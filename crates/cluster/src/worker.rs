//! A worker: computes the tasks that its coordinator sends, and serves their output to whoever needs it next.
//!
//! The process is a member of the cluster under one id at a time. When the coordinator does not know that id any more, because
//! one of them was away for too long, everything that was done under it is worth nothing: it is ended and deleted, and the
//! process joins again under a new id.

mod client_pool;
mod compact;
mod decode;
mod dynamic_filters;
mod execute;
mod files;
mod jobs;
mod life;
mod link;
mod measured;
mod membership;
mod orders;
mod outcome;
mod quota;
mod reports;
mod stage;
mod stoppable;
mod work_dir;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpcServer;
use parking_lot::RwLock;
use tidemill_engine::error::{Error, Result};
use tidemill_engine::run::TaskEnvironment;
use tidemill_engine::units::ByteSize;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::transport::{self, Address, MAX_MESSAGE, Transport};
use decode::Decoder;
use membership::Membership;
use stage::Stages;
use work_dir::WorkDir;

/// What a worker is configured with.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Where the coordinator listens for workers.
    pub coordinator: Address,
    /// Where others reach this worker; its listening address unless it is given.
    pub advertise: Option<Address>,
    /// Tasks that it computes at once.
    pub slots: u32,
    /// Disk that the output of tasks may take.
    pub quota: ByteSize,
    /// How long a worker that is to stop waits until nobody needs it.
    pub drain_timeout: Duration,
}

/// A worker that listens and has not joined yet.
pub struct Worker {
    shared: Arc<Shared>,
    serving: JoinHandle<Result<()>>,
    /// Ends the serving.
    over: CancellationToken,
}

/// What the parts of a worker share.
struct Shared {
    config: WorkerConfig,
    /// What the coordinator is told to reach this worker by: without a host, it takes the address that it sees.
    host: Option<String>,
    port: u16,
    transport: Transport,
    environment: Arc<TaskEnvironment>,
    decoder: Decoder,
    stages: Stages,
    work_dir: WorkDir,
    /// As whom the process is a member now.
    current: RwLock<Option<Arc<Membership>>>,
    /// Cancelled when the worker shall stop once nobody needs it.
    draining: CancellationToken,
    /// Wakes the heart when there is something to tell.
    changed: Notify,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Worker {
    /// Serves on `listener`, and keeps its files below the environment's data directory, which is emptied of an earlier
    /// worker's.
    ///
    /// # Errors
    /// A work directory that can not be used; an address that is not safe to listen on.
    pub async fn start(
        config: WorkerConfig,
        transport: Transport,
        environment: Arc<TaskEnvironment>,
        listener: TcpListener,
    ) -> Result<Self> {
        let address = listener.local_addr().map_err(|error| Error::internal("no address").caused_by(error))?;
        transport.check_bind(address, "worker.listen")?;
        let work_dir = WorkDir::open(environment.data_dir().join("shuffle")).await?;
        let (host, port) = advertised(&config, address);
        let shared = Arc::new(Shared {
            decoder: Decoder::new(&environment, &transport)?,
            stages: Stages::new(&environment),
            config,
            host,
            port,
            transport,
            environment,
            work_dir,
            current: RwLock::default(),
            draining: CancellationToken::new(),
            changed: Notify::new(),
        });
        let over = CancellationToken::new();
        let (services, transport) = (services(&shared), shared.transport.clone());
        let stop = over.clone();
        let serving = tokio::spawn(async move { transport::serve(listener, services, &transport, stop).await });
        Ok(Self { shared, serving, over })
    }

    /// Joins the coordinator, again and again if need be, and works until `stop`; then finishes what it has, and serves files
    /// until nobody needs them, or for `drain_timeout` at most. `joined` is told each id under which it became a member.
    ///
    /// # Errors
    /// The coordinator refuses this worker, or the listener fails.
    pub async fn run(self, stop: CancellationToken, joined: impl Fn(&str) + Send) -> Result<()> {
        let Self { shared, serving, over } = self;
        let on_stop = {
            let shared = Arc::clone(&shared);
            async move {
                stop.cancelled().await;
                shared.drain("the process is to stop");
                std::future::pending::<Result<()>>().await
            }
        };
        let ended = tokio::select! {
            ended = life::live(&shared, joined) => ended,
            ended = on_stop => ended,
            served = serving => served.unwrap_or_else(|error| Err(Error::internal("the server was lost").caused_by(error))),
        };
        over.cancel();
        let left = shared.current.write().take();
        if let Some(membership) = left {
            membership.end().await;
        }
        shared.work_dir.clear().await;
        ended
    }
}

impl Shared {
    fn current(&self) -> Option<Arc<Membership>> {
        self.current.read().clone()
    }

    /// Takes no more tasks, and ends when nobody needs this worker any more.
    fn drain(&self, reason: &str) {
        if !self.draining.is_cancelled() {
            tracing::info!(reason, "draining: no more tasks are taken");
            self.draining.cancel();
            self.changed.notify_one();
        }
    }
}

fn services(shared: &Arc<Shared>) -> Routes {
    let orders = ExecutorGrpcServer::new(orders::Orders::new(Arc::clone(shared)))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let files = FlightServiceServer::new(files::Files::new(Arc::clone(shared)))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    Routes::new(orders).add_service(files)
}

/// What others reach this worker by.
fn advertised(config: &WorkerConfig, listening: SocketAddr) -> (Option<String>, u16) {
    match &config.advertise {
        Some(Address { host, port: 0 }) => (Some(host.clone()), listening.port()),
        Some(Address { host, port }) => (Some(host.clone()), *port),
        None if listening.ip().is_unspecified() => (None, listening.port()),
        None if listening.is_ipv6() => (Some(format!("[{}]", listening.ip())), listening.port()),
        None => (Some(listening.ip().to_string()), listening.port()),
    }
}
