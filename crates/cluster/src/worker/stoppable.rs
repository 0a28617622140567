//! Operators that can be stopped, and remember why they failed.
//!
//! Ballista's writers compute in tasks of tokio that nobody holds, so that dropping a stage ends none of them. So the stage's
//! rows come through here, and stop coming: what is below is dropped, and the writers end with an error.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::compact::compacted;
use super::jobs::{Accepted, FirstError};

/// Hands on the rows of its input until the task is stopped, and notes the error that ends them. The rows are about to be written.
pub(super) struct StoppableExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    stop: CancellationToken,
    first_error: FirstError,
    /// Who waits for the end of the job waits for whoever holds the plan.
    alive: TaskTrackerToken,
    /// What a partition needs to be computed, if they take turns.
    turns: Option<Arc<Semaphore>>,
}

impl StoppableExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, task: &Accepted) -> Self {
        let properties = Arc::clone(input.properties());
        let (stop, first_error) = (task.stop.clone(), task.first_error.clone());
        Self { input, properties, stop, first_error, alive: task.job.alive.token(), turns: None }
    }

    /// Computes no more than this many partitions at once, at least one; the others wait until one of them has ended.
    pub(super) fn at_once(mut self, partitions: usize) -> Self {
        let takes_turns = self.properties.partitioning.partition_count() > partitions;
        self.turns = takes_turns.then(|| Arc::new(Semaphore::new(partitions.max(1))));
        self
    }
}

impl fmt::Debug for StoppableExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoppableExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for StoppableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoppableExec")
    }
}

impl ExecutionPlan for StoppableExec {
    fn name(&self) -> &'static str {
        "StoppableExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        let properties = Arc::clone(input.properties());
        let (stop, first_error, alive) = (self.stop.clone(), self.first_error.clone(), self.alive.clone());
        let turns = self.turns.clone();
        Ok(Arc::new(Self { input, properties, stop, first_error, alive, turns }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if self.stop.is_cancelled() {
            return Err(stopped());
        }
        let rows = self.input.execute(partition, context).map_err(|error| self.first_error.note(error))?;
        Ok(Box::pin(Stoppable {
            schema: rows.schema(),
            rows: Some(rows),
            stopped: Box::pin(self.stop.clone().cancelled_owned()),
            first_error: self.first_error.clone(),
            turn: self.turns.as_ref().map(|turns| Turn::Awaited(Box::pin(Arc::clone(turns).acquire_owned()))),
            _alive: self.alive.clone(),
        }))
    }
}

/// Of a partition that takes turns with others.
enum Turn {
    Awaited(BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>),
    Taken(#[expect(dead_code, reason = "held until the partition has ended")] OwnedSemaphorePermit),
}

struct Stoppable {
    schema: SchemaRef,
    /// Absent when it was stopped.
    rows: Option<SendableRecordBatchStream>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    first_error: FirstError,
    /// Absent when it does not take turns, or has ended.
    turn: Option<Turn>,
    _alive: TaskTrackerToken,
}

impl Stoppable {
    /// Ready when it is its turn.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(Turn::Awaited(turn)) = &mut self.turn {
            // Nobody closes the semaphore.
            self.turn = std::task::ready!(turn.as_mut().poll(context)).ok().map(Turn::Taken);
        }
        Poll::Ready(())
    }
}

impl Stream for Stoppable {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rows.is_some() && self.stopped.as_mut().poll(context).is_ready() {
            (self.rows, self.turn) = (None, None);
            return Poll::Ready(Some(Err(stopped())));
        }
        std::task::ready!(self.poll_turn(context));
        let Some(rows) = &mut self.rows else { return Poll::Ready(None) };
        let next = rows.as_mut().poll_next(context);
        if matches!(next, Poll::Ready(None)) {
            (self.rows, self.turn) = (None, None);
        }
        let compact = |batch: Result<RecordBatch>| batch.and_then(|batch| Ok(compacted(batch)?));
        next.map(|next| next.map(|batch| compact(batch).map_err(|error| self.first_error.note(error))))
    }
}

impl RecordBatchStream for Stoppable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

fn stopped() -> DataFusionError {
    DataFusionError::Execution("the task was stopped".to_owned())
}

#[cfg(test)]
mod tests {
    use ballista_core::JobId;
    use ballista_core::execution_plans::ShuffleWriterExec;
    use ballista_core::serde::protobuf::{MultiTaskDefinition, TaskId};
    use ballista_executor::execution_engine::{DefaultQueryStageExec, QueryStageExecutor, ShuffleWriterVariant};
    use datafusion::prelude::SessionContext;
    use futures::{FutureExt, StreamExt};

    use super::super::jobs::Jobs;
    use super::*;

    /// Dropping the future of a stage does not end Ballista's writers; this does.
    #[tokio::test]
    async fn ending_a_job_ends_the_writers_of_its_tasks() {
        let folder = tempfile::tempdir().unwrap();
        let context = SessionContext::new();
        let endless = context.sql("SELECT * FROM generate_series(1, 1000000000000000)").await.unwrap();
        let endless = endless.create_physical_plan().await.unwrap();

        let jobs = Jobs::new();
        let task_ids = vec![TaskId { task_id: 7, ..TaskId::default() }];
        let asked = MultiTaskDefinition { job_id: "job".to_owned(), stage_id: 1, task_ids, ..Default::default() };
        let task = jobs.accept(&asked).pop().unwrap();
        let job = Arc::clone(&task.job);

        let plan = Arc::new(StoppableExec::new(endless, &task));
        let work_dir = folder.path().to_string_lossy().into_owned();
        let writer = ShuffleWriterExec::try_new(JobId::new("job"), 1, plan, work_dir).unwrap();
        let stage = DefaultQueryStageExec::new(ShuffleWriterVariant::Passthrough(writer));
        let context = context.task_ctx();
        let writing = tokio::spawn(async move { stage.execute_query_stage(7, context).await });

        let written = folder.path().join("job/1/0");
        while !written.exists() {
            tokio::task::yield_now().await;
        }
        assert_eq!(jobs.tasks(), 1);
        jobs.end("job").await;
        assert!(job.alive.is_empty(), "something still computes");
        writing.await.unwrap().unwrap_err();
        assert!(task.stop.is_cancelled());
        drop(task);
        assert_eq!((jobs.tasks(), jobs.count()), (0, 0));
    }

    #[tokio::test]
    async fn partitions_take_turns() {
        let context = SessionContext::new();
        let each =
            (0..5).map(|_| context.sql("SELECT 1 AS a")).map(|plan| async { plan.await?.create_physical_plan().await });
        let each = futures::future::try_join_all(each).await.unwrap();
        let plan = datafusion::physical_plan::union::UnionExec::try_new(each).unwrap();
        let task_ids = vec![TaskId::default()];
        let asked = MultiTaskDefinition { job_id: "job".to_owned(), stage_id: 1, task_ids, ..Default::default() };
        let task = Jobs::new().accept(&asked).pop().unwrap();
        let plan = StoppableExec::new(plan, &task).at_once(2);
        let mut partitions: Vec<_> = (0..5).map(|at| plan.execute(at, context.task_ctx()).unwrap()).collect();
        // Two have their turn, and the third waits until one of them has ended.
        for at in [0, 1] {
            assert!(partitions[at].next().now_or_never().is_some_and(|batch| batch.is_some()));
        }
        assert!(partitions[2].next().now_or_never().is_none());
        assert!(partitions[0].next().now_or_never().is_some_and(|batch| batch.is_none()));
        assert!(partitions[2].next().now_or_never().is_some_and(|batch| batch.is_some()));
        assert!(partitions[3].next().now_or_never().is_none());
        // A partition that is given up does not keep its turn.
        drop(partitions.remove(1));
        assert!(partitions[2].next().now_or_never().is_some_and(|batch| batch.is_some()));
    }

    #[tokio::test]
    async fn one_task_is_stopped_and_another_is_not() {
        let context = SessionContext::new();
        let plan = context.sql("SELECT 1").await.unwrap().create_physical_plan().await.unwrap();
        let jobs = Jobs::new();
        let task_ids = (0..2).map(|task_id| TaskId { task_id, ..TaskId::default() }).collect();
        let asked = MultiTaskDefinition { job_id: "job".to_owned(), stage_id: 3, task_ids, ..Default::default() };
        let tasks = jobs.accept(&asked);
        jobs.cancel("job", (3, 1));
        jobs.cancel("job", (3, 5));
        jobs.cancel("other", (3, 0));
        let rows = |task: &Accepted| {
            let plan = Arc::new(StoppableExec::new(Arc::clone(&plan), task));
            datafusion::physical_plan::collect(plan, context.task_ctx())
        };
        assert_eq!(rows(&tasks[0]).await.unwrap()[0].num_rows(), 1);
        assert!(rows(&tasks[1]).await.unwrap_err().to_string().contains("stopped"));
    }
}
