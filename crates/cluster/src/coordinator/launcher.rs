//! How tasks get to the workers: pushed over the pooled connections of the cluster.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::{BallistaError, Result};
use ballista_core::serde::protobuf::executor_grpc_client::ExecutorGrpcClient;
use ballista_core::serde::protobuf::{LaunchMultiTaskParams, MultiTaskDefinition};
use ballista_core::serde::scheduler::ExecutorMetadata;
use ballista_scheduler::state::executor_manager::ExecutorManager;
use ballista_scheduler::state::task_manager::TaskLauncher;
use prost::Message;
use tidemill_engine::error::Result as EngineResult;

use crate::transport::{MAX_MESSAGE, Transport, Wire};

/// How long a worker may take to accept tasks, before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends tasks.
#[derive(Debug)]
pub(super) struct Launcher {
    transport: Transport,
    /// Where this coordinator is reached.
    address: String,
}

impl Launcher {
    pub(super) fn new(transport: Transport, address: String) -> Self {
        Self { transport, address }
    }

    async fn send(&self, worker: &ExecutorMetadata, multi_tasks: Vec<MultiTaskDefinition>) -> Result<HashSet<JobId>> {
        let unreachable = |reason: String| BallistaError::GrpcConnectionError(reason);
        let mut client = control(&self.transport, worker).map_err(|error| unreachable(error.message().to_owned()))?;
        let tasks = LaunchMultiTaskParams { multi_tasks, scheduler_endpoint: self.address.clone() };
        let launched = tokio::time::timeout(PATIENCE, client.launch_multi_task(tasks)).await;
        match launched {
            Ok(Ok(answer)) => Ok(answer.into_inner().failed_jobs.into_iter().map(JobId::from).collect()),
            Ok(Err(status)) => Err(unreachable(format!("worker {} takes no tasks: {}", worker.id, status.message()))),
            Err(_) => Err(unreachable(format!("worker {} does not answer", worker.id))),
        }
    }
}

#[async_trait]
impl TaskLauncher for Launcher {
    async fn launch_tasks(
        &self,
        worker: &ExecutorMetadata,
        tasks: Vec<MultiTaskDefinition>,
        _manager: &ExecutorManager,
    ) -> Result<HashSet<JobId>> {
        let mut refused = HashSet::new();
        for tasks in in_messages(tasks) {
            refused.extend(self.send(worker, tasks).await?);
        }
        Ok(refused)
    }
}

/// The tasks in as few messages as hold them.
fn in_messages(tasks: Vec<MultiTaskDefinition>) -> Vec<Vec<MultiTaskDefinition>> {
    let (mut messages, mut message, mut bytes) = (Vec::new(), Vec::new(), 0);
    for task in tasks {
        let size = task.encoded_len();
        if bytes + size > MAX_MESSAGE / 2 && !message.is_empty() {
            messages.push(std::mem::take(&mut message));
            bytes = 0;
        }
        bytes += size;
        message.push(task);
    }
    messages.push(message);
    messages
}

/// What a worker is controlled by.
pub(crate) fn control(transport: &Transport, worker: &ExecutorMetadata) -> EngineResult<ExecutorGrpcClient<Wire>> {
    let client = ExecutorGrpcClient::new(transport.channel(&worker.host, worker.grpc_port)?);
    Ok(client.max_encoding_message_size(MAX_MESSAGE).max_decoding_message_size(MAX_MESSAGE))
}
