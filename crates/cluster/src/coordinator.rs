//! The coordinator: Ballista's scheduler in this process, behind a service of our own that workers join by.

mod launcher;
mod reaper;
mod service;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::utils::default_session_builder;
use ballista_scheduler::cluster::memory::InMemoryJobState;
use ballista_scheduler::cluster::{BallistaCluster, ClusterState, JobState};
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::metrics::NoopMetricsCollector;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::prelude::SessionConfig;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tidemill_engine::error::{Error, Result};
use tidemill_engine::run::Runner;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::codec::physical_codec;
use crate::config::CoordinatorConfig;
use crate::jobs::{GivenIds, Jobs};
use crate::members::{Ends, Members};
use crate::runner::ClusterRunner;
use crate::transport::{MAX_MESSAGE, Transport, serve};

pub(crate) type Scheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// Events that wait for the scheduler's loop. It deadlocks when it fills up by itself: one event for each task and more than
/// any cluster has tasks at once.
const EVENT_BUFFER: u32 = 1 << 20;

/// What everything that coordinates shares.
pub(crate) struct Parts {
    pub(crate) config: CoordinatorConfig,
    pub(crate) transport: Transport,
    pub(crate) codec: Arc<dyn PhysicalExtensionCodec>,
    pub(crate) scheduler: Scheduler,
    pub(crate) job_state: Arc<dyn JobState>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) members: Arc<Members>,
    /// Where clean-up runs that outlives the query.
    pub(crate) io: Handle,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("config", &self.config).field("members", &self.members).finish_non_exhaustive()
    }
}

#[async_trait]
impl Ends for Parts {
    async fn end(&self, job: JobId) {
        if let Err(error) = self.scheduler.cancel_job(job).await {
            tracing::error!(%error, "the scheduler's loop has ended: no query can run on the cluster until a restart");
        }
    }
}

/// A running coordinator. Dropping it does not stop it: [`Self::shutdown`] does.
#[derive(Debug)]
pub struct Coordinator {
    runner: Arc<ClusterRunner>,
    parts: Arc<Parts>,
    shutdown: CancellationToken,
    tasks: parking_lot::Mutex<Vec<JoinHandle<()>>>,
}

impl Coordinator {
    /// Starts the scheduler, and serves workers on the listener.
    ///
    /// # Errors
    /// The scheduler does not start.
    pub async fn start(config: CoordinatorConfig, transport: Transport, listener: TcpListener) -> Result<Arc<Self>> {
        let parts = Arc::new(parts(config, transport, &listener).await?);
        let ends: Arc<dyn Ends> = Arc::clone(&parts) as _;
        parts.members.ended_by(&ends);
        let shutdown = CancellationToken::new();
        let service = SchedulerGrpcServer::new(service::Service::new(Arc::clone(&parts)))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let served = {
            let (transport, shutdown) = (parts.transport.clone(), shutdown.clone());
            tokio::spawn(async move {
                if let Err(error) = serve(listener, Routes::new(service), &transport, shutdown).await {
                    tracing::error!(%error, "workers are not served any more");
                }
            })
        };
        let reaper = {
            let (parts, shutdown) = (Arc::clone(&parts), shutdown.clone());
            tokio::spawn(async move {
                shutdown.run_until_cancelled(reaper::watch(parts)).await;
            })
        };
        let runner = Arc::new(ClusterRunner::new(Arc::clone(&parts)));
        Ok(Arc::new(Self { runner, parts, shutdown, tasks: parking_lot::Mutex::new(vec![served, reaper]) }))
    }

    /// The runner, to be attached to the engine.
    pub fn runner(&self) -> Arc<dyn Runner> {
        Arc::clone(&self.runner) as _
    }

    /// Stops serving workers. Queries must have ended before.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // It has ended, however.
            let _ = task.await;
        }
        tracing::debug!(workers = self.parts.members.infos().len(), "the coordinator has stopped");
    }
}

async fn parts(config: CoordinatorConfig, transport: Transport, listener: &TcpListener) -> Result<Parts> {
    let failed = |error: &dyn fmt::Display| Error::internal(format!("the cluster's scheduler does not start: {error}"));
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let codec = physical_codec()?;
    let jobs = Arc::new(Jobs::default());
    let members = Arc::new(Members::new(Arc::clone(&jobs), config.worker_timeout));
    let scheduler_config = Arc::new(scheduler_config(&transport));
    let job_state: Arc<dyn JobState> = Arc::new(InMemoryJobState::new(
        "coordinator",
        Arc::new(default_session_builder),
        Arc::new(SessionConfig::new_with_ballista),
    ));
    let cluster = BallistaCluster::new(Arc::clone(&members) as Arc<dyn ClusterState>, Arc::clone(&job_state));
    let launcher = launcher::Launcher::new(transport.clone(), address.to_string());
    let codecs = BallistaCodec::new(
        Arc::new(ballista_core::serde::BallistaLogicalExtensionCodec::default()),
        Arc::clone(&codec),
    );
    let mut scheduler = Scheduler::new_with_task_launcher(
        address.to_string(),
        cluster,
        codecs,
        scheduler_config,
        Arc::new(NoopMetricsCollector::default()),
        Arc::new(launcher),
    );
    scheduler.init().await.map_err(|error| failed(&error))?;
    Ok(Parts { config, transport, codec, scheduler, job_state, jobs, members, io: Handle::current() })
}

/// Tasks are pushed: they leave when they can run, and can be cancelled. Nothing is run again inside a job, because both planners
/// do that wrongly. Files and states of jobs are removed by the runner, which knows when they were read; and workers are declared
/// lost by the reaper.
fn scheduler_config(transport: &Transport) -> SchedulerConfig {
    SchedulerConfig {
        scheduler_id: "coordinator".to_owned(),
        scheduling_policy: TaskSchedulingPolicy::PushStaged,
        event_loop_buffer_size: EVENT_BUFFER,
        task_max_failures: 1,
        stage_max_failures: 1,
        finished_job_data_clean_up_interval_seconds: 0,
        finished_job_state_clean_up_interval_seconds: 0,
        executor_timeout_seconds: u64::from(u32::MAX),
        executor_termination_grace_period: u64::from(u32::MAX),
        grpc_client_max_message_size: u32::try_from(MAX_MESSAGE).unwrap_or(u32::MAX),
        override_create_grpc_client_endpoint: Some(transport.endpoints()),
        job_id_generator: Some(Arc::new(GivenIds)),
        ..SchedulerConfig::default()
    }
}
