//! What the coordinator orders: compute, cancel, delete, drain.

use std::sync::Arc;

use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpc;
use ballista_core::serde::protobuf::{
    CancelTasksParams, CancelTasksResult, LaunchMultiTaskParams, LaunchMultiTaskResult, LaunchTaskParams,
    LaunchTaskResult, RemoveJobDataParams, RemoveJobDataResult, StopExecutorParams, StopExecutorResult,
};
use tonic::{Request, Response, Status};

use super::membership::Membership;
use super::work_dir::is_job;
use super::{Shared, execute};

/// Carries orders out.
pub(super) struct Orders {
    shared: Arc<Shared>,
}

impl Orders {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn member(&self) -> Result<Arc<Membership>, Status> {
        self.shared.current().ok_or_else(|| Status::unavailable("this worker is no member of the cluster now"))
    }
}

fn check(job: &str) -> Result<(), Status> {
    if is_job(job) { Ok(()) } else { Err(Status::invalid_argument(format!("'{job}' is no job"))) }
}

#[tonic::async_trait]
impl ExecutorGrpc for Orders {
    async fn launch_task(&self, _: Request<LaunchTaskParams>) -> Result<Response<LaunchTaskResult>, Status> {
        Err(Status::unimplemented("tasks are launched together"))
    }

    async fn launch_multi_task(
        &self,
        request: Request<LaunchMultiTaskParams>,
    ) -> Result<Response<LaunchMultiTaskResult>, Status> {
        let (member, request) = (self.member()?, request.into_inner());
        request.multi_tasks.iter().try_for_each(|tasks| check(&tasks.job_id))?;
        for tasks in request.multi_tasks {
            execute::launch(&self.shared, &member, tasks);
        }
        // A task that can not be read is answered as one that failed, which tells why.
        Ok(Response::new(LaunchMultiTaskResult { failed_jobs: Vec::new() }))
    }

    async fn cancel_tasks(&self, request: Request<CancelTasksParams>) -> Result<Response<CancelTasksResult>, Status> {
        let member = self.member()?;
        for task in request.into_inner().task_infos {
            member.jobs.cancel(&task.job_id, (task.stage_id, task.task_id));
        }
        Ok(Response::new(CancelTasksResult { cancelled: true }))
    }

    async fn remove_job_data(
        &self,
        request: Request<RemoveJobDataParams>,
    ) -> Result<Response<RemoveJobDataResult>, Status> {
        let (member, request) = (self.member()?, request.into_inner());
        check(&request.job_id)?;
        // It is done also when the coordinator does not wait for it.
        let removing = tokio::spawn(async move {
            if request.remove_stage_ids.is_empty() {
                member.jobs.end(&request.job_id).await;
            }
            member.folder.delete_job(&request.job_id, &request.remove_stage_ids).await
        });
        let removed = removing.await.map_err(|error| Status::internal(format!("deleting was lost: {error}")))?;
        removed.map_err(|error| Status::internal(format!("the files of a job could not be deleted: {error}")))?;
        Ok(Response::new(RemoveJobDataResult {}))
    }

    async fn stop_executor(
        &self,
        request: Request<StopExecutorParams>,
    ) -> Result<Response<StopExecutorResult>, Status> {
        let (member, order) = (self.member()?, request.into_inner());
        if order.executor_id != member.id {
            tracing::warn!(id = %order.executor_id, "an order to stop is for another worker");
        } else if order.force {
            tracing::warn!(reason = %order.reason, "ordered to stop at once");
            member.over.cancel();
        } else {
            self.shared.drain(&order.reason);
        }
        Ok(Response::new(StopExecutorResult {}))
    }
}
