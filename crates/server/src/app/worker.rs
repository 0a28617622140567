//! A worker as one thing: made from a configuration, listening, and drained in the end.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tidemill_cluster::transport::{Address, Transport};
use tidemill_cluster::{RESERVE, worker};
use tidemill_engine::config::EngineConfig;
use tidemill_engine::run::TaskEnvironment;
use tokio_util::sync::CancellationToken;

use super::bind;
use crate::config::Config;
use crate::machine;

/// A worker that listens and has not joined yet.
#[derive(Debug)]
pub struct WorkerApp {
    worker: worker::Worker,
    address: SocketAddr,
    coordinator: Address,
}

impl WorkerApp {
    /// Makes all parts, and binds the port.
    ///
    /// # Errors
    /// A configuration that is not safe, a port that is taken, a work directory that is in use.
    pub async fn build(config: Config) -> Result<Self> {
        let own = &config.worker;
        let coordinator = own.coordinator.clone().context("worker.coordinator is not set")?;
        let transport = Transport::open(&own.transport(&config.cluster))?;
        let listener = bind(&own.listen, "worker.listen").await?;
        let address = listener.local_addr()?;
        let slots = if own.slots == 0 { machine::cores() } else { own.slots as usize };
        let environment = TaskEnvironment::open(&engine(&config, address, slots), machine::memory_bytes()).await?;
        let settings = worker::WorkerConfig {
            coordinator: coordinator.clone(),
            advertise: own.advertise.clone(),
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
            quota: own.work_dir_quota,
            drain_timeout: own.drain_timeout.0,
        };
        let worker = worker::Worker::start(settings, transport, environment, listener).await?;
        Ok(Self { worker, address, coordinator })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The coordinator that it joins.
    pub fn coordinator(&self) -> &Address {
        &self.coordinator
    }

    /// Joins and works until `shutdown`, then drains. `joined` hears each id under which it became a member.
    ///
    /// # Errors
    /// The coordinator refuses the worker, or the listener fails.
    pub async fn run(self, shutdown: CancellationToken, joined: impl Fn(&str) + Send) -> Result<()> {
        Ok(self.worker.run(shutdown, joined).await?)
    }
}

/// What tasks compute with: the engine's configuration, in a directory of the worker's own.
fn engine(config: &Config, address: SocketAddr, slots: usize) -> EngineConfig {
    let own = &config.worker;
    let mut engine = config.engine.clone();
    // No two workers of one machine listen on the same port, so they share no directory either.
    let default = || -> PathBuf { config.server.data_dir.join(format!("worker-{}", address.port())) };
    engine.data_dir = own.work_dir.clone().unwrap_or_else(default);
    if let Some(memory) = own.memory {
        engine.memory.limit = memory;
    }
    if engine.runtime.cpu_threads == 0 {
        engine.runtime.cpu_threads = slots.saturating_mul(1 + RESERVE as usize);
    }
    engine
}
