//! What a lost worker does to a job, with Ballista's own handling and with ours.
//!
//! The scheduler is real, the workers are this test: it takes the tasks and tells how they end. Two workers have a slot each; the
//! job has a stage of two tasks whose output is cut in two, and a last stage of two tasks. One worker is lost when both have
//! computed the first stage, and the other has computed its task of the last.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{
    ExecutorStoppedParams, JobStatus, MultiTaskDefinition, ShuffleWritePartition, SuccessfulTask, TaskStatus,
    UpdateTaskStatusParams, task_status,
};
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata, ExecutorSpecification};
use ballista_scheduler::cluster::memory::{InMemoryClusterState, InMemoryJobState};
use ballista_scheduler::cluster::{BallistaCluster, ClusterState};
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::metrics::NoopMetricsCollector;
use ballista_scheduler::state::executor_manager::ExecutorManager;
use ballista_scheduler::state::task_manager::TaskLauncher;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::sync::mpsc;
use tonic::Request;

use super::{Scheduler, scheduler_config};
use crate::jobs::{Cause, Jobs, SUBMITTED};
use crate::members::{Ends, Members};
use crate::transport::{Transport, TransportConfig};
use crate::watch::tests::tasks;

/// A task that a worker got.
struct Launched {
    worker: String,
    task: MultiTaskDefinition,
}

struct Recorder(mpsc::UnboundedSender<Launched>);

#[async_trait]
impl TaskLauncher for Recorder {
    async fn launch_tasks(
        &self,
        worker: &ExecutorMetadata,
        tasks: Vec<MultiTaskDefinition>,
        _manager: &ExecutorManager,
    ) -> ballista_core::error::Result<HashSet<JobId>> {
        for task in tasks {
            let _ = self.0.send(Launched { worker: worker.id.clone(), task });
        }
        Ok(HashSet::new())
    }
}

impl Launched {
    /// It ends well: a task of the first stage has rows for both partitions, one of the last for its own.
    fn done(&self, first_stage: u32) -> TaskStatus {
        let task = &self.task.task_ids[0];
        let of_first = self.task.stage_id == first_stage;
        let written = if of_first { vec![0, 1] } else { task.global_output_partition_ids.clone() };
        let partitions = written.into_iter().map(|partition| ShuffleWritePartition {
            partition_id: u64::from(partition),
            num_batches: 1,
            num_rows: 1,
            num_bytes: 8,
            file_id: Some(u64::from(task.task_id)),
            is_sort_shuffle: of_first,
        });
        let done =
            SuccessfulTask { executor_id: self.worker.clone(), partitions: partitions.collect(), ..Default::default() };
        TaskStatus {
            task_id: task.task_id,
            job_id: self.task.job_id.clone(),
            stage_id: self.task.stage_id,
            stage_attempt_num: self.task.stage_attempt_num,
            status: Some(task_status::Status::Successful(done)),
            ..Default::default()
        }
    }
}

struct Cluster {
    scheduler: Scheduler,
    launched: mpsc::UnboundedReceiver<Launched>,
    first_stage: u32,
}

impl Cluster {
    async fn new(state: Arc<dyn ClusterState>, adaptive: bool) -> Self {
        let (sender, launched) = mpsc::unbounded_channel();
        let transport = Transport::open(&TransportConfig::default()).unwrap();
        let config = SchedulerConfig {
            // The defaults of Ballista where ours would keep it from what is to be seen.
            stage_max_failures: 4,
            executor_termination_grace_period: 0,
            task_distribution: TaskDistributionPolicy::RoundRobin,
            ..scheduler_config(&transport)
        };
        let jobs = InMemoryJobState::new(
            "test",
            Arc::new(ballista_core::utils::default_session_builder),
            Arc::new(SessionConfig::new_with_ballista),
        );
        let mut scheduler = Scheduler::new_with_task_launcher(
            "test".to_owned(),
            BallistaCluster::new(Arc::clone(&state), Arc::new(jobs)),
            BallistaCodec::default(),
            Arc::new(config),
            Arc::new(NoopMetricsCollector::default()),
            Arc::new(Recorder(sender)),
        );
        scheduler.init().await.unwrap();
        for id in ["a", "b"] {
            let metadata = ExecutorMetadata {
                id: id.to_owned(),
                host: "localhost".to_owned(),
                port: 1,
                grpc_port: 1,
                specification: ExecutorSpecification::default().with_vcores(1),
                os_info: Default::default(),
            };
            let data = ExecutorData { executor_id: id.to_owned(), total_vcores: 1, available_vcores: 1 };
            state.register_executor(metadata, data).await.unwrap();
        }
        // The static planner counts stages from 1, the adaptive one from 0.
        Self { scheduler, launched, first_stage: u32::from(!adaptive) }
    }

    async fn submit(&self, id: JobId, adaptive: bool) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("k", DataType::Int64, false),
            Field::new("v", DataType::Int64, false),
        ]));
        let column = || Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column(), column()]).unwrap();
        let config = SessionConfig::new_with_ballista()
            .with_target_partitions(2)
            .with_ballista_adaptive_query_planner(adaptive)
            .set_usize("ballista.scheduler.max_partitions_per_task", 1);
        let context = Arc::new(SessionContext::new_with_config(config));
        let table = MemTable::try_new(schema, vec![vec![batch.clone()], vec![batch]]).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        let plan = context.sql("SELECT k, sum(v) FROM t GROUP BY k").await.unwrap().into_optimized_plan().unwrap();
        SUBMITTED.scope(id, self.scheduler.submit_job("test", context, &plan, None)).await.unwrap();
    }

    async fn next(&mut self) -> Launched {
        tokio::time::timeout(Duration::from_secs(20), self.launched.recv()).await.expect("no task is given").unwrap()
    }

    async fn end(&self, task: &Launched) {
        let status =
            UpdateTaskStatusParams { executor_id: task.worker.clone(), task_status: vec![task.done(self.first_stage)] };
        SchedulerGrpc::update_task_status(&self.scheduler, Request::new(status)).await.unwrap();
    }

    /// Runs the job until both workers have computed the first stage and b its task of the last, and takes a out.
    async fn until_a_is_lost(&mut self) {
        let first = [self.next().await, self.next().await];
        assert_ne!(first[0].worker, first[1].worker);
        for task in &first {
            self.end(task).await;
        }
        let last = [self.next().await, self.next().await];
        self.end(last.iter().find(|task| task.worker == "b").unwrap()).await;
        let lost = ExecutorStoppedParams { executor_id: "a".to_owned(), reason: "test".to_owned() };
        SchedulerGrpc::executor_stopped(&self.scheduler, Request::new(lost)).await.unwrap();
    }

    async fn status(&self, id: &JobId) -> Option<Status> {
        let status: Option<JobStatus> = self.scheduler.state.task_manager.get_job_status(id).await.unwrap();
        status.and_then(|status| status.status)
    }
}

/// With Ballista's own handling, the static planner tells of the partition twice that b had computed already.
#[tokio::test]
async fn unguarded_the_static_planner_counts_rows_twice() {
    let mut cluster = Cluster::new(Arc::new(InMemoryClusterState::default()), false).await;
    let id = JobId::new("static");
    cluster.submit(id.clone(), false).await;
    cluster.until_a_is_lost().await;
    let done = loop {
        tokio::select! {
            Some(task) = cluster.launched.recv() => cluster.end(&task).await,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        match cluster.status(&id).await {
            Some(Status::Successful(done)) => break done,
            Some(Status::Failed(failed)) => panic!("{}", failed.error),
            _ => {}
        }
    };
    assert_eq!(
        done.partition_location.len(),
        3,
        "two partitions, one of them twice; if this fails, upstream is mended"
    );
}

/// With Ballista's own handling, the adaptive planner waits for ever for what it has been told.
#[tokio::test]
async fn unguarded_the_adaptive_planner_hangs() {
    let mut cluster = Cluster::new(Arc::new(InMemoryClusterState::default()), true).await;
    let id = JobId::new("adaptive");
    cluster.submit(id.clone(), true).await;
    cluster.until_a_is_lost().await;
    let again = cluster.next().await;
    assert_eq!(again.task.stage_id, cluster.first_stage, "what a had computed is computed again");
    cluster.end(&again).await;
    // Events are processed one after another: when another job has ended, there is nothing left of this one.
    let other = JobId::new("other");
    cluster.submit(other.clone(), true).await;
    while !matches!(cluster.status(&other).await, Some(Status::Successful(_))) {
        let task = cluster.next().await;
        assert_eq!(task.task.job_id, other.as_str(), "if this fails, upstream is mended");
        cluster.end(&task).await;
        tokio::task::yield_now().await;
    }
    assert!(matches!(cluster.status(&id).await, Some(Status::Running(_))));
}

struct Canceller(parking_lot::Mutex<Option<Scheduler>>);

#[async_trait]
impl Ends for Canceller {
    async fn end(&self, job: JobId) {
        let scheduler = self.0.lock().clone().unwrap();
        scheduler.cancel_job(job).await.unwrap();
    }
}

/// With ours, the job ends, whichever planner planned it.
#[tokio::test]
async fn guarded_the_job_ends_with_the_worker() {
    for adaptive in [false, true] {
        let jobs = Arc::new(Jobs::default());
        let members = Arc::new(Members::new(Arc::clone(&jobs), Duration::from_secs(20)));
        let mut cluster = Cluster::new(Arc::clone(&members) as _, adaptive).await;
        let canceller = Arc::new(Canceller(parking_lot::Mutex::new(Some(cluster.scheduler.clone()))));
        members.ended_by(&(Arc::clone(&canceller) as Arc<dyn Ends>));
        let job = jobs.begin("query", tasks());
        cluster.submit(job.id.clone(), adaptive).await;
        cluster.until_a_is_lost().await;
        let ended = async {
            while !matches!(cluster.status(&job.id).await, Some(Status::Failed(_))) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the job goes on");
        assert_eq!(job.cause(), Some(Cause::Lost("localhost:1".to_owned())));
        assert!(cluster.launched.try_recv().is_err(), "a stage is run again");
    }
}
