//! What a worker says to its coordinator.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::BALLISTA_PROTOCOL_VERSION;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    ExecutorOperatingSystemSpecification, ExecutorRegistration, ExecutorResource, ExecutorSpecification,
    ExecutorStatus, ExecutorStoppedParams, HeartBeatParams, RegisterExecutorParams, TaskStatus, UpdateTaskStatusParams,
    executor_resource, executor_status,
};
use tidemill_engine::error::Result;
use tonic::{Code, Request, Status};

use super::Shared;
use super::membership::Membership;
use crate::join::Report;
use crate::transport::{MAX_MESSAGE, Wire, innermost};

/// How long the coordinator may take to answer what is small.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a worker that leaves waits for the coordinator to know.
const FAREWELL: Duration = Duration::from_secs(2);

/// A client of the coordinator.
pub(super) fn client(shared: &Shared) -> Result<SchedulerGrpcClient<Wire>> {
    let coordinator = &shared.config.coordinator;
    let wire = shared.transport.channel(&coordinator.host, coordinator.port)?;
    Ok(SchedulerGrpcClient::new(wire).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
}

/// The coordinator as one member sees it.
pub(super) struct Link {
    client: SchedulerGrpcClient<Wire>,
    registration: ExecutorRegistration,
    first_report: Report,
}

impl Link {
    pub(super) fn new(shared: &Arc<Shared>, membership: &Membership) -> Result<Self> {
        let port = u32::from(shared.port);
        let vcores = ExecutorResource { resource: Some(executor_resource::Resource::Vcores(shared.config.slots)) };
        let registration = ExecutorRegistration {
            id: membership.id.clone(),
            host: shared.host.clone(),
            port,
            grpc_port: port,
            specification: Some(ExecutorSpecification { resources: vec![vcores] }),
            os_info: Some(ExecutorOperatingSystemSpecification::default()),
            ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
        };
        Ok(Self { client: client(shared)?, registration, first_report: membership.report(shared) })
    }

    /// Asks to be a member.
    pub(super) async fn join(&self) -> Result<(), Status> {
        let mut request = patient(RegisterExecutorParams { metadata: Some(self.registration.clone()) });
        self.first_report.add_to(&mut request);
        match self.client.clone().register_executor(request).await {
            Ok(answer) if answer.get_ref().success => Ok(()),
            Ok(_) => Err(Status::unavailable("not now")),
            // An answer to an earlier request was lost.
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            Err(status) => Err(status),
        }
    }

    /// Says how the worker is. The answer is whether the coordinator knows it.
    pub(super) async fn beat(&self, report: &Report) -> Result<bool, Status> {
        let status = match report.draining {
            true => executor_status::Status::Terminating(String::new()),
            false => executor_status::Status::Active(String::new()),
        };
        let mut request = patient(HeartBeatParams {
            executor_id: self.registration.id.clone(),
            metrics: Vec::new(),
            status: Some(ExecutorStatus { status: Some(status) }),
            metadata: Some(self.registration.clone()),
        });
        report.add_to(&mut request);
        let answer = self.client.clone().heart_beat_from_executor(request).await?;
        Ok(!answer.into_inner().reregister)
    }

    /// Says how far tasks are. What gets lost is told again with the next.
    pub(super) async fn progress(&self, tasks: Vec<TaskStatus>) {
        if tasks.is_empty() {
            return;
        }
        let message = UpdateTaskStatusParams { executor_id: self.registration.id.clone(), task_status: tasks };
        if let Err(status) = self.client.clone().update_task_status(patient(message)).await {
            tracing::debug!(reason = %reason(&status), "the progress of tasks was not taken");
        }
    }

    /// Says that the worker is gone; a coordinator that does not hear it notices later.
    pub(super) async fn leave(&self, reason: &str) {
        let mut request = Request::new(ExecutorStoppedParams {
            executor_id: self.registration.id.clone(),
            reason: reason.to_owned(),
        });
        request.set_timeout(FAREWELL);
        match tokio::time::timeout(FAREWELL, self.client.clone().executor_stopped(request)).await {
            Ok(Ok(_)) => tracing::info!(reason, "left the cluster"),
            Ok(Err(status)) => {
                tracing::warn!(reason = %self::reason(&status), "left, and the coordinator did not hear it")
            }
            Err(_) => tracing::warn!("left, and the coordinator did not answer"),
        }
    }
}

fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// What a failed call tells, down to the reason of the transport.
pub(super) fn reason(status: &Status) -> String {
    status.source().map_or_else(|| status.message().to_owned(), innermost)
}

/// Whether somebody answers who is no coordinator: a server of another kind, or another port of one.
pub(super) fn is_foreign(status: &Status) -> bool {
    let signs = ["grpc-status header missing", "while receiving response with status"];
    status.code() == Code::Unimplemented || signs.iter().any(|sign| status.message().contains(sign))
}

/// Why whoever answers, or does not, can not be the coordinator of this worker, as far as that can be told.
pub(super) fn mismatch(shared: &Shared, status: &Status) -> Option<&'static str> {
    let reason = reason(status);
    if reason.contains("InvalidContentType") {
        return Some("it does not speak TLS, and this worker does: cluster.tls must be the same on both");
    }
    if is_foreign(status) {
        return Some("it is no coordinator that workers join: worker.coordinator is what it lists as door=scheduler");
    }
    let broken = [
        "h2 protocol error",
        "frame with invalid size",
        "connection closed",
        "broken pipe",
        "reset by peer",
        "unexpected end",
    ];
    if !broken.iter().any(|sign| reason.to_lowercase().contains(sign)) {
        return None;
    }
    Some(if shared.transport.is_encrypted() {
        "it closes the connection: is this worker's certificate of an authority in the coordinator's cluster.tls.ca?"
    } else {
        "it closes the connection: does it use cluster.tls, which this worker does not?"
    })
}
