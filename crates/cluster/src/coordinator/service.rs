//! What workers call: they join, report, tell how tasks ended, and leave. Everything else of Ballista's service is refused, most
//! of all running queries, which goes through the engine and its policies only.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{
    CancelJobParams, CancelJobResult, CleanJobDataParams, CleanJobDataResult, CreateUpdateSessionParams,
    CreateUpdateSessionResult, ExecuteQueryParams, ExecuteQueryResult, ExecutorHeartbeat, ExecutorRegistration,
    ExecutorStatus, ExecutorStoppedParams, ExecutorStoppedResult, GetJobMetricsParams, GetJobMetricsResult,
    GetJobStatusParams, GetJobStatusResult, HeartBeatParams, HeartBeatResult, PollWorkParams, PollWorkResult,
    RegisterExecutorParams, RegisterExecutorResult, RemoveSessionParams, RemoveSessionResult, TaskStatus,
    UpdateTaskStatusParams, UpdateTaskStatusResult, executor_status, task_status,
};
use ballista_core::serde::scheduler::ExecutorMetadata;
use ballista_scheduler::cluster::ClusterState;
use futures::Stream;
use tonic::{Request, Response, Status};

use super::Parts;
use crate::jobs::Cause;
use crate::join::{Deliveries, Report};

type Answer<T> = Result<Response<T>, Status>;

/// The service.
pub(super) struct Service {
    parts: Arc<Parts>,
    deliveries: Deliveries,
}

impl Service {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { parts, deliveries: Deliveries::default() }
    }

    /// Tries whether the worker is where it says: what can not be reached gets no tasks.
    async fn reach(&self, worker: &ExecutorMetadata) -> Result<(), Status> {
        let ExecutorMetadata { host, port, .. } = worker;
        let reached = self.parts.transport.probe(host, *port).await;
        reached.map_err(|reason| {
            let told = format!("the coordinator does not reach this worker at {host}:{port}: {reason}");
            tracing::warn!(worker = %worker.id, reason = %told, "a worker is refused");
            // Another certificate is needed; everything else may pass.
            if reason.contains("certificate") { Status::failed_precondition(told) } else { Status::unavailable(told) }
        })
    }

    /// Jobs that a worker holds files of and nobody needs: their end did not reach it.
    fn remove_leftovers(&self, worker: &str, held: &[String]) {
        for job in held.iter().filter(|job| self.parts.jobs.get(job).is_none()) {
            let (parts, worker, job) = (Arc::clone(&self.parts), worker.to_owned(), job.clone());
            self.parts.io.spawn(async move { parts.remove_job(&worker, &job).await });
        }
    }
}

#[tonic::async_trait]
impl SchedulerGrpc for Service {
    async fn register_executor(&self, request: Request<RegisterExecutorParams>) -> Answer<RegisterExecutorResult> {
        let peer = request.remote_addr();
        let report = Report::from_metadata(request.metadata()).and_then(|report| report.check_build().map(|()| report));
        let report = report.inspect_err(|status| {
            tracing::warn!(peer = ?peer, reason = status.message(), "a worker is refused");
        })?;
        let registration = request.into_inner().metadata.ok_or_else(|| malformed("no worker"))?;
        let worker = described(registration, peer)?;
        self.reach(&worker).await?;
        tracing::info!(
            worker = %worker.id, address = %format!("{}:{}", worker.host, worker.port),
            slots = worker.specification.vcores, version = %report.version, "a worker joins"
        );
        for earlier in self.parts.members.at(&worker.host, worker.port).iter().filter(|earlier| **earlier != worker.id)
        {
            self.parts.lose(earlier, "another worker is at its address").await;
            self.deliveries.forget(earlier);
        }
        let id = worker.id.clone();
        let joined = self.parts.members.join(worker, report).await;
        joined.map_err(|error| Status::already_exists(error.to_string()))?;
        self.parts.beat(&id, false).await;
        self.parts.offer(&id).await;
        Ok(Response::new(RegisterExecutorResult { success: true }))
    }

    async fn heart_beat_from_executor(&self, request: Request<HeartBeatParams>) -> Answer<HeartBeatResult> {
        let report = Report::from_metadata(request.metadata())?;
        report.check_build()?;
        let id = request.into_inner().executor_id;
        self.remove_leftovers(&id, &report.jobs);
        let draining = report.draining;
        if !self.parts.members.heard(&id, report) {
            return Ok(Response::new(HeartBeatResult { reregister: true }));
        }
        self.parts.beat(&id, draining).await;
        Ok(Response::new(HeartBeatResult { reregister: false }))
    }

    async fn update_task_status(&self, request: Request<UpdateTaskStatusParams>) -> Answer<UpdateTaskStatusResult> {
        let (metadata, _, mut params) = request.into_parts();
        let worker = params.executor_id.clone();
        if self.parts.members.reach(&worker).is_none() {
            return Err(Status::failed_precondition("the worker is not known: it must join again"));
        }
        let is_progress = |status: &TaskStatus| matches!(status.status, Some(task_status::Status::Running(_)));
        let progress: Vec<TaskStatus> = params.task_status.extract_if(.., |status| is_progress(status)).collect();
        if !progress.is_empty() {
            progress.into_iter().for_each(|status| self.parts.jobs.computes(&worker, status));
            if params.task_status.is_empty() {
                return Ok(Response::new(UpdateTaskStatusResult { success: true }));
            }
        }
        let parts = Arc::clone(&self.parts);
        let work = async move {
            for status in &mut params.task_status {
                parts.jobs.ended(&params.executor_id, status);
                if let Some(Cause::Unreachable { worker, .. }) =
                    parts.jobs.get(&status.job_id).and_then(|job| job.cause())
                {
                    parts.members.suspect(&worker);
                }
            }
            SchedulerGrpc::update_task_status(&parts.scheduler, Request::new(params)).await.map(drop)
        };
        self.deliveries.once(&worker, &metadata, work).await?;
        Ok(Response::new(UpdateTaskStatusResult { success: true }))
    }

    async fn executor_stopped(&self, request: Request<ExecutorStoppedParams>) -> Answer<ExecutorStoppedResult> {
        let ExecutorStoppedParams { executor_id, reason } = request.into_inner();
        tracing::info!(worker = %executor_id, %reason, "the worker leaves");
        self.parts.members.leaves(&executor_id);
        self.parts.lose(&executor_id, &reason).await;
        self.deliveries.forget(&executor_id);
        Ok(Response::new(ExecutorStoppedResult {}))
    }

    async fn poll_work(&self, _: Request<PollWorkParams>) -> Answer<PollWorkResult> {
        Err(refused())
    }

    async fn create_update_session(&self, _: Request<CreateUpdateSessionParams>) -> Answer<CreateUpdateSessionResult> {
        Err(refused())
    }

    async fn remove_session(&self, _: Request<RemoveSessionParams>) -> Answer<RemoveSessionResult> {
        Err(refused())
    }

    type ExecuteQueryPushStream = Pin<Box<dyn Stream<Item = Result<GetJobStatusResult, Status>> + Send>>;

    async fn execute_query_push(&self, _: Request<ExecuteQueryParams>) -> Answer<Self::ExecuteQueryPushStream> {
        Err(refused())
    }

    async fn execute_query(&self, _: Request<ExecuteQueryParams>) -> Answer<ExecuteQueryResult> {
        Err(refused())
    }

    async fn get_job_status(&self, _: Request<GetJobStatusParams>) -> Answer<GetJobStatusResult> {
        Err(refused())
    }

    async fn get_job_metrics(&self, _: Request<GetJobMetricsParams>) -> Answer<GetJobMetricsResult> {
        Err(refused())
    }

    async fn cancel_job(&self, _: Request<CancelJobParams>) -> Answer<CancelJobResult> {
        Err(refused())
    }

    async fn clean_job_data(&self, _: Request<CleanJobDataParams>) -> Answer<CleanJobDataResult> {
        Err(refused())
    }
}

impl Parts {
    /// Tells Ballista that the worker is alive, and whether it takes tasks.
    async fn beat(&self, id: &str, draining: bool) {
        let status = match draining {
            true => executor_status::Status::Terminating(String::new()),
            false => executor_status::Status::Active(String::new()),
        };
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let heartbeat = ExecutorHeartbeat {
            executor_id: id.to_owned(),
            timestamp: seconds.map_or(1, |seconds| seconds.as_secs()),
            status: Some(ExecutorStatus { status: Some(status) }),
            ..ExecutorHeartbeat::default()
        };
        // In memory, it does not fail.
        let _ = self.members.save_executor_heartbeat(heartbeat).await;
    }

    /// Lets the scheduler see free slots: it looks for tasks after each word of a worker, and an empty one will do.
    async fn offer(&self, id: &str) {
        let empty = UpdateTaskStatusParams { executor_id: id.to_owned(), task_status: Vec::new() };
        if let Err(status) = SchedulerGrpc::update_task_status(&self.scheduler, Request::new(empty)).await {
            tracing::error!(%status, "the scheduler does not look at a worker that has joined");
        }
    }
}

fn described(worker: ExecutorRegistration, peer: Option<SocketAddr>) -> Result<ExecutorMetadata, Status> {
    let port = |port: u32| u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| malformed("no port"));
    let host = match (worker.host, peer) {
        (Some(host), _) if !host.is_empty() => host,
        (_, Some(SocketAddr::V6(peer))) => match peer.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        },
        (_, Some(peer)) => peer.ip().to_string(),
        (_, None) => return Err(malformed("no address")),
    };
    let specification = worker.specification.ok_or_else(|| malformed("no slots"))?;
    Ok(ExecutorMetadata {
        id: worker.id,
        host,
        port: port(worker.port)?,
        grpc_port: port(worker.grpc_port)?,
        specification: specification.into(),
        os_info: worker.os_info.map(Into::into).unwrap_or_default(),
    })
}

fn malformed(what: &str) -> Status {
    Status::invalid_argument(format!("the registration of a worker names {what}"))
}

fn refused() -> Status {
    Status::unimplemented("the coordinator serves workers only: queries come through the server's own ports")
}
