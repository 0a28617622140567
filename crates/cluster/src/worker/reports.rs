//! Ends of tasks on their way to the coordinator: repeated until it has taken them, because a query waits for each.

use std::time::Duration;

use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{TaskStatus, UpdateTaskStatusParams};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Request;

use super::jobs::Accepted;
use super::link;
use crate::join::SEQUENCE;
use crate::transport::Wire;

/// Ends that wait; tasks that end then wait too.
const WAITING: usize = 1024;
/// Ends that go in one message.
const TOGETHER: usize = 256;
/// How long to wait before a message is repeated: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The way to the coordinator.
pub(super) struct Reports {
    queue: mpsc::Sender<(TaskStatus, Accepted)>,
}

impl Reports {
    /// A way that is open until `over`.
    pub(super) fn begin(id: &str, client: SchedulerGrpcClient<Wire>, over: CancellationToken) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let id = id.to_owned();
        // It ends with the membership.
        tokio::spawn(async move {
            tokio::select! {
                () = deliver(id, client, waiting) => {}
                () = over.cancelled() => {}
            }
        });
        Self { queue }
    }

    /// Sends it; the task counts as one that is not finished until the coordinator has taken it.
    pub(super) async fn send(&self, status: TaskStatus, task: Accepted) {
        // When the membership is over, nobody waits for it any more.
        let _ = self.queue.send((status, task)).await;
    }
}

async fn deliver(
    id: String,
    mut client: SchedulerGrpcClient<Wire>,
    mut waiting: mpsc::Receiver<(TaskStatus, Accepted)>,
) {
    let mut sequence: u64 = 0;
    let mut ends = Vec::with_capacity(TOGETHER);
    while waiting.recv_many(&mut ends, TOGETHER).await > 0 {
        sequence += 1;
        let statuses: Vec<TaskStatus> = ends.iter().map(|(status, _)| status.clone()).collect();
        let mut wait = FIRST_RETRY;
        loop {
            let message = UpdateTaskStatusParams { executor_id: id.clone(), task_status: statuses.clone() };
            let mut request = Request::new(message);
            request.metadata_mut().insert(SEQUENCE, sequence.into());
            match client.update_task_status(request).await {
                Ok(_) => break,
                Err(status) => {
                    tracing::warn!(reason = %link::reason(&status), "the end of a task was not taken, repeating")
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
        ends.clear();
    }
}
