//! Runs queries in this process.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::{AccountedPool, CpuPool, Execution, MemoryBudget, Runner, SpillArea};
use crate::cache::{Answer, Recording};
use crate::error::{Error, ErrorKind, Result, Subject, catch_panic};
use crate::plan::{Action, PhysicalQuery, Plan};
use crate::query::{Admitted, Life, Permit, Query, QueryHandle};
use crate::storage::FileCommit;
use crate::stream::QueryStream;
use crate::units::{ByteSize, Share};
use crate::wire::to_wire;

/// Batches that wait for a slow client; the query rests when they are not fetched.
const BATCHES_AHEAD: usize = 2;

/// Runs queries on the threads of this process.
#[derive(Debug)]
pub(crate) struct LocalRunner {
    pub(crate) cpu: Arc<CpuPool>,
    pub(crate) io: Handle,
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) per_query: Share,
    pub(crate) spill: Arc<SpillArea>,
    pub(crate) base: Arc<RuntimeEnv>,
}

impl Runner for LocalRunner {
    fn name(&self) -> &'static str {
        "local"
    }

    fn run(&self, query: Query<Admitted>) -> BoxFuture<'_, Result<QueryStream>> {
        let (life, plan, permit) = query.into_parts();
        std::future::ready(self.launch(life, plan, permit)).boxed()
    }
}

impl LocalRunner {
    fn launch(&self, life: Life, plan: Plan, permit: Option<Permit>) -> Result<QueryStream> {
        let execution = match self.execution(&life.handle, &plan, permit) {
            Ok(execution) => execution,
            Err(error) => return Err(life.fail(error)),
        };
        let (sink, batches) = mpsc::channel(BATCHES_AHEAD);
        let (settle, settled) = oneshot::channel();
        let stream = QueryStream::new(Arc::clone(&plan.schema), plan.kind, Arc::clone(&life.handle), batches, settle);
        let light = plan.is_light();
        let task = drive(life, plan, execution, sink, settled);
        // What is over in microseconds does not queue behind heavy work. The tasks end with the query: its stream cancels them.
        if light {
            self.io.spawn(task);
        } else {
            self.cpu.spawn(task);
        }
        Ok(stream)
    }

    fn execution(&self, handle: &Arc<QueryHandle>, plan: &Plan, permit: Option<Permit>) -> Result<Execution> {
        let server = self.per_query.of(self.budget.limit());
        let (limit, key) = match plan.settings.memory_limit {
            Some(share) => (share.of(self.budget.limit()).min(server), "memory_limit"),
            None => (server, "memory.per_query"),
        };
        let pool = Arc::new(AccountedPool::new(Arc::clone(&self.budget), limit, key, permit));
        let disk = if plan.is_light() { SpillArea::none()? } else { self.spill.for_query(handle)? };
        let writes = plan.writes_files().then(|| FileCommit::new(self.io.clone()));
        Ok(Execution::new(handle, plan.settings.config.clone(), &self.base, pool, disk, writes))
    }
}

/// Runs the plan to its end, whatever end that is, and leaves nothing of it behind.
async fn drive(
    life: Life,
    plan: Plan,
    execution: Execution,
    sink: mpsc::Sender<Result<RecordBatch>>,
    settled: oneshot::Receiver<()>,
) {
    let handle = Arc::clone(&life.handle);
    let outcome = catch_panic(handle.guard(produce(plan, &execution, &sink))).await;
    if outcome.is_err() {
        execution.rollback().await;
    }
    drop(execution);
    match outcome {
        Ok(()) if handle.request().keep_result => {
            handle.complete();
            drop(sink);
            match handle.guard(kept(settled, &handle)).await {
                Ok(()) => life.finish(),
                Err(error) => drop(life.fail(error)),
            }
        }
        Ok(()) => {
            handle.complete();
            life.finish();
        }
        Err(error) => {
            let error = life.fail(error);
            // A client that is gone does not hear it.
            let _ = sink.send(Err(error)).await;
        }
    }
}

/// Waits until the result is kept.
async fn kept(settled: oneshot::Receiver<()>, handle: &QueryHandle) -> Result<()> {
    settled.await.map_err(|_| handle.cancelled())
}

async fn produce(plan: Plan, execution: &Execution, sink: &mpsc::Sender<Result<RecordBatch>>) -> Result<()> {
    let Plan { action, schema, byte_limit, scope, recording, .. } = plan;
    let mut output = Output { schema, byte_limit, sink, handle: execution.handle(), recording };
    match action {
        Action::Query(query) => stream_rows(query, execution, &mut output).await,
        Action::Command(command) => {
            for batch in command.run(scope, execution).await? {
                output.send(&batch).await?;
            }
            Ok(())
        }
        Action::Recall(answer) => hand_out(answer, &mut output).await,
    }
}

/// An answer that is known, from where it is kept.
async fn hand_out(answer: Option<Arc<Answer>>, output: &mut Output<'_>) -> Result<()> {
    for batch in answer.iter().flat_map(|answer| &answer.batches) {
        output.send(batch).await?;
    }
    Ok(())
}

async fn stream_rows(query: PhysicalQuery, execution: &Execution, output: &mut Output<'_>) -> Result<()> {
    let mut rows = execution.start(&query.plan)?;
    if query.writes {
        // The count is told only when everything it counts is visible.
        let mut counts = Vec::new();
        while let Some(batch) = rows.next().await {
            counts.push(batch?);
        }
        execution.commit().await?;
        for batch in counts {
            output.send(&batch).await?;
        }
        return Ok(());
    }
    while let Some(batch) = rows.next().await {
        output.send(&batch?).await?;
    }
    output.keep();
    Ok(())
}

/// Where the rows go, and how many bytes may.
struct Output<'a> {
    schema: SchemaRef,
    byte_limit: Option<u64>,
    sink: &'a mpsc::Sender<Result<RecordBatch>>,
    handle: &'a Arc<QueryHandle>,
    /// Present as long as the result may be kept.
    recording: Option<Box<Recording>>,
}

impl Output<'_> {
    /// Every row was sent.
    fn keep(&mut self) {
        if let Some(recording) = self.recording.take() {
            recording.keep();
        }
    }

    async fn send(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = to_wire(batch, &self.schema)?;
        self.handle.meter().produced(&batch);
        if let Some(limit) = self.byte_limit.filter(|limit| self.handle.meter().bytes_produced() > *limit) {
            let message = format!("the result is larger than the request's limit of {}", ByteSize(limit));
            return Err(Error::new(ErrorKind::Resources, message)
                .about(Subject::ResultSize)
                .hint("raise byte_limit, or ask for fewer rows or columns"));
        }
        self.recording = self.recording.take().and_then(|recording| recording.with(&batch));
        self.sink.send(Ok(batch)).await.map_err(|_| self.handle.cancelled())
    }
}
