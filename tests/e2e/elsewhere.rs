//! A runner that stands in for a cluster: it computes in the test's process, and does what the test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::Context;
use arrow::array::RecordBatch;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tidemill_engine::query::{StageInfo, TaskInfo, TaskState};
use tidemill_engine::run::{Computed, Planned, Runner, Tasks, Work, WorkerInfo, WorkerState};
use tidemill_engine::{Error, ErrorKind, QueryInfo, QueryRequest, Result, Session, Subject};
use tidemill_tests::TestServer;

/// What the runner does.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) slots: u64,
    /// Why no plan can go there.
    pub(crate) refusal: Option<&'static str>,
    pub(crate) act: Act,
    /// Tasks of the only stage of every query.
    pub(crate) tasks: u64,
    /// Workers that were told to leave.
    pub(crate) drained: Vec<String>,
}

/// How a computation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// To its end.
    Compute,
    /// It fails before it has begun.
    Fail,
    /// It never begins.
    HangAtOnce,
    /// It never goes on after its first batch.
    HangAfterFirst,
}

/// A runner in the test's process.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    script: Mutex<Script>,
    begun: AtomicUsize,
    /// Computations that nobody let go of.
    alive: Arc<AtomicUsize>,
}

impl Elsewhere {
    pub(crate) fn attached(server: &TestServer) -> Result<Arc<Self>> {
        let script = Script { slots: 2, refusal: None, act: Act::Compute, tasks: 2, drained: Vec::new() };
        let alive = Arc::default();
        let runner = Arc::new(Self { script: Mutex::new(script), begun: AtomicUsize::new(0), alive });
        server.engine().attach(Arc::clone(&runner) as Arc<dyn Runner>)?;
        Ok(runner)
    }

    /// What the test says.
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computations that were begun.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Computations that nobody let go of.
    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

/// Counts a computation as long as it is there.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Runner for Elsewhere {
    fn name(&self) -> &'static str {
        "cluster"
    }

    fn plan<'a>(&'a self, planned: Planned<'a>) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>, String>> {
        let outcome =
            self.script().refusal.map_or_else(|| Ok(Arc::clone(planned.plan)), |refusal| Err(refusal.to_owned()));
        std::future::ready(outcome).boxed()
    }

    fn explain(&self, _work: Work) -> BoxFuture<'_, Result<String>> {
        async { Ok("two stages, far away".to_owned()) }.boxed()
    }

    fn run(&self, work: Work) -> BoxFuture<'_, Result<Computed>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let (script, alive) = (self.script().clone(), Alive::new(&self.alive));
        async move {
            match script.act {
                Act::Fail => {
                    return Err(Error::new(ErrorKind::Storage, "the worker lost its disk").about(Subject::Disk));
                }
                Act::HangAtOnce => futures::future::pending().await,
                Act::Compute | Act::HangAfterFirst => {}
            }
            let tasks = work.tasks.clone();
            tasks.stage(StageInfo { plan: "it all".to_owned(), ..stage(TaskState::Running, script.tasks) });
            for partition in 0..script.tasks {
                tasks.task(task(partition, TaskState::Running));
            }
            let rows = execute_stream(work.plan, work.state.task_ctx())?.map_err(Error::from);
            let rows = match script.act {
                Act::HangAfterFirst => rows.take(1).chain(stream::pending()).boxed(),
                Act::Compute | Act::Fail | Act::HangAtOnce => rows.chain(end(tasks, script.tasks)).boxed(),
            };
            let batches = rows.inspect(move |_| _ = &alive).boxed();
            Ok(Computed { batches, profile: Arc::new(|| "computed far away".to_owned()) })
        }
        .boxed()
    }

    fn workers(&self) -> Vec<WorkerInfo> {
        let now = SystemTime::now();
        let state = |id: &str| match self.script().drained.iter().any(|drained| drained == id) {
            true => WorkerState::Draining,
            false => WorkerState::Active,
        };
        let worker = |id: &str| WorkerInfo {
            id: id.to_owned(),
            address: Some(format!("{id}.test:50051")),
            state: state(id),
            version: "1.2.3".to_owned(),
            slots: 1,
            slots_free: 1,
            memory_bytes: 1 << 30,
            memory_used: 5,
            disk_bytes: 1 << 40,
            disk_used: 7,
            last_seen: now.into(),
            joined_at: now.into(),
            tasks_running: 0,
        };
        vec![worker("w1"), worker("w2")]
    }

    fn drain(&self, id: &str) -> Result<()> {
        if !["w1", "w2"].contains(&id) {
            return Err(Error::not_found(Subject::Node, format!("worker '{id}' not found")));
        }
        self.script().drained.push(id.to_owned());
        Ok(())
    }

    fn slots(&self) -> u64 {
        self.script().slots
    }
}

/// The end of a computation, which gives no rows.
fn end(tasks: Tasks, count: u64) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    let report = async move {
        for partition in 0..count {
            tasks.task(TaskInfo { rows: 3, bytes: 100, ..task(partition, TaskState::Finished) });
        }
        tasks.stage(stage(TaskState::Finished, count));
    };
    report.into_stream().flat_map(|()| stream::empty())
}

fn stage(state: TaskState, partitions: u64) -> StageInfo {
    StageInfo { stage_id: 1, attempt: 1, state, partitions, ..StageInfo::default() }
}

fn task(partition: u64, state: TaskState) -> TaskInfo {
    TaskInfo { stage_id: 1, partition, attempt: 1, state, worker: "w1".to_owned(), ..TaskInfo::default() }
}

/// A file with a few rows.
pub(crate) fn people() -> String {
    format!("'{}/sql/data/people.csv'", env!("CARGO_MANIFEST_DIR"))
}

/// The rows of a statement, and what history says of it.
pub(crate) async fn answer(session: &Arc<Session>, sql: &str) -> anyhow::Result<(Vec<RecordBatch>, QueryInfo)> {
    let rows = session.query(QueryRequest::sql(sql)).await?;
    let handle = Arc::clone(rows.handle());
    let rows = rows.try_collect().await?;
    handle.ended().await;
    Ok((rows, handle.info()))
}

/// The texts of a column, over all rows.
pub(crate) fn texts(rows: &[RecordBatch], column: &str) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for batch in rows {
        let column = batch.column_by_name(column).context("no such column")?;
        let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8)?;
        texts.extend(arrow::array::AsArray::as_string::<i32>(&column).iter().map(|text| text.unwrap_or("").to_owned()));
    }
    Ok(texts)
}
