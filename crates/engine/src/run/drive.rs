//! The life of a query while it runs, wherever it is computed: from the permit to the last row, or to whatever else ends it.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};

use super::arriving::written;
use super::output::Output;
use super::{Computed, Execution, Route, Runner, Runners, SpillArea};
use crate::cache::Answer;
use crate::error::{Error, Result, catch_panic};
use crate::plan::{Action, PhysicalQuery, Plan, Portable, Purpose};
use crate::query::{Life, Permit, QueryHandle};
use crate::storage::FileCommit;
use crate::stream::QueryStream;

/// Batches that wait for a slow client; the query rests when they are not fetched.
const BATCHES_AHEAD: usize = 2;

impl Runners {
    /// Starts a query. From here on the stream owns it.
    pub(crate) fn launch(&self, life: Life, plan: Plan, permit: Option<Permit>) -> Result<QueryStream> {
        let execution = match self.execution(&life.handle, &plan, permit) {
            Ok(execution) => execution,
            Err(error) => return Err(life.fail(error)),
        };
        let (sink, batches) = mpsc::channel(BATCHES_AHEAD);
        let (settle, settled) = oneshot::channel();
        let stream = QueryStream::new(Arc::clone(&plan.schema), plan.kind, Arc::clone(&life.handle), batches, settle);
        // What is over in microseconds does not queue behind heavy work, and neither does what others compute and nobody writes
        // here. The tasks end with the query: its stream cancels them.
        let elsewhere = plan.is_light() || plan.route.is_remote() && !plan.writes_files();
        let task = drive(life, plan, execution, sink, settled);
        if elsewhere {
            self.environment.io.spawn(task);
        } else {
            self.environment.cpu.spawn(task);
        }
        Ok(stream)
    }

    fn execution(&self, handle: &Arc<QueryHandle>, plan: &Plan, permit: Option<Permit>) -> Result<Execution> {
        let environment = &self.environment;
        let pool = environment.pool(plan.settings.memory_limit, permit);
        let disk = if plan.is_light() || plan.route.is_remote() {
            SpillArea::none()?
        } else {
            let owner = Arc::downgrade(handle);
            environment.spill.for_query(owner)?
        };
        let writes = plan.writes_files().then(|| FileCommit::new(environment.io.clone()));
        let base = environment.files.runtime_env();
        Ok(Execution::new(handle, plan.settings.config.clone(), &base, pool, disk, writes))
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
    let Plan { action, schema, byte_limit, scope, recording, route, .. } = plan;
    let mut output = Output { schema, byte_limit, sink, handle: execution.handle(), recording };
    match (action, route) {
        (Action::Query(query), Route::Remote(runner)) => {
            Box::pin(elsewhere(query, runner.as_ref(), execution, &mut output)).await
        }
        (Action::Query(query), Route::Local(_)) => here(query, execution, &mut output).await,
        (Action::Command(command), _) => {
            for batch in command.run(scope, execution).await? {
                output.send(&batch).await?;
            }
            Ok(())
        }
        (Action::Recall(answer), _) => hand_out(answer, &mut output).await,
    }
}

/// An answer that is known, from where it is kept.
async fn hand_out(answer: Option<Arc<Answer>>, output: &mut Output<'_>) -> Result<()> {
    for batch in answer.iter().flat_map(|answer| &answer.batches) {
        output.send(batch).await?;
    }
    Ok(())
}

/// Computes the query in this process.
async fn here(query: PhysicalQuery, execution: &Execution, output: &mut Output<'_>) -> Result<()> {
    let mut rows = execution.start(&query.plan)?;
    if query.writes {
        return write(rows, execution, output).await;
    }
    while let Some(batch) = rows.next().await {
        output.send(&batch?).await?;
    }
    if let Some(why) = output.handle.why_local().filter(|_| query.may_be_annotated()) {
        output.send(&line(output, "runner", &why)?).await?;
    }
    output.keep();
    Ok(())
}

/// Lets a plan write, whose rows are how many it wrote.
async fn write(mut counted: SendableRecordBatchStream, execution: &Execution, output: &mut Output<'_>) -> Result<()> {
    // The count is told only when everything it counts is visible.
    let mut counts = Vec::new();
    while let Some(batch) = counted.next().await {
        counts.push(batch.map_err(|error| execution.why_not_written(error.into()))?);
    }
    execution.commit().await?;
    for batch in counts {
        output.send(&batch).await?;
    }
    Ok(())
}

/// Lets the runner compute the query.
async fn elsewhere(
    query: PhysicalQuery,
    runner: &dyn Runner,
    execution: &Execution,
    output: &mut Output<'_>,
) -> Result<()> {
    let annotated = query.may_be_annotated();
    let PhysicalQuery { plan, portable, .. } = query;
    let Some(portable) = portable else {
        return Err(Error::internal("a plan that is not portable was to run elsewhere"));
    };
    let purpose = portable.purpose;
    match purpose {
        Purpose::Explain => {
            let distributed = runner.explain(execution.work(*portable)?).await?;
            let mut rows = execution.start(&plan)?;
            while let Some(batch) = rows.next().await {
                output.send(&batch?).await?;
            }
            if annotated {
                output.send(&line(output, "distributed_plan", &distributed)?).await?;
            }
        }
        Purpose::Rows | Purpose::Analyze => compute(*portable, runner, execution, output).await?,
        Purpose::Source => {
            let rows = begin(*portable, runner, execution, output).await?.batches;
            return write(execution.begin(&written(plan, rows)?)?, execution, output).await;
        }
    }
    output.keep();
    Ok(())
}

async fn compute(
    portable: Portable,
    runner: &dyn Runner,
    execution: &Execution,
    output: &mut Output<'_>,
) -> Result<()> {
    let purpose = portable.purpose;
    let Computed { batches: mut rows, profile } = begin(portable, runner, execution, output).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if purpose == Purpose::Rows {
            output.send(&batch).await?;
        }
    }
    if purpose == Purpose::Analyze {
        output.send(&line(output, "Plan with Metrics", &profile())?).await?;
    }
    Ok(())
}

/// Lets the runner begin, whose progress is the query's from here on.
async fn begin(
    portable: Portable,
    runner: &dyn Runner,
    execution: &Execution,
    output: &Output<'_>,
) -> Result<Computed> {
    let computed = runner.run(execution.work(portable)?).await?;
    output.handle.meter().watch_elsewhere(Arc::clone(&computed.profile), execution.pool());
    Ok(computed)
}

/// One more row of an EXPLAIN.
fn line(output: &Output<'_>, kind: &str, text: &str) -> Result<RecordBatch> {
    let columns = [kind, text].map(|text| Arc::new(StringArray::from(vec![text])) as _);
    RecordBatch::try_new(Arc::clone(&output.schema), columns.to_vec())
        .map_err(|error| Error::internal("the plan of a query is not two texts").caused_by(error))
}
