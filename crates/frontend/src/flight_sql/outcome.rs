//! Work that happens once, however often its outcome is asked for: statements that change something.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use futures::TryStreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::failure::{Failure, Result};
use super::statements::Statement;
use tidemill_engine::{Error, QueryStream, StatementKind};

/// Work that happens once. Its outcome stays.
#[derive(Debug)]
pub(crate) struct Once(watch::Sender<Progress>);

#[derive(Debug, Clone)]
enum Progress {
    Waiting,
    Working,
    Ended(std::result::Result<Outcome, Box<Status>>),
}

/// How work that changes something ended well.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// What it answered: few rows, counts mostly.
    pub(crate) batches: Arc<[RecordBatch]>,
    /// Rows that were changed, over all runs; none if the statements do not say.
    pub(crate) changed: Option<i64>,
}

impl Default for Once {
    fn default() -> Self {
        Self(watch::Sender::new(Progress::Waiting))
    }
}

impl Once {
    /// The outcome of the statement, which runs now if it did not yet.
    ///
    /// If the one for whom it runs goes away, its query is cancelled; how that ended is the outcome for all.
    pub(crate) async fn outcome(&self, statement: &Arc<Statement>) -> Result<Outcome> {
        let mut first = false;
        self.0.send_if_modified(|progress| {
            first = matches!(progress, Progress::Waiting);
            if first {
                *progress = Progress::Working;
            }
            first
        });
        let gone = CancellationToken::new();
        let _cancels = gone.clone().drop_guard();
        if first {
            let (sender, statement) = (self.0.clone(), Arc::clone(statement));
            tokio::spawn(async move {
                let outcome = work(&statement, &gone).await;
                sender.send_replace(Progress::Ended(outcome.map_err(|failure| Box::new(failure.into_status()))));
            });
        }
        let mut watched = self.0.subscribe();
        let ended = watched.wait_for(|progress| matches!(progress, Progress::Ended(_))).await;
        match ended.as_deref() {
            Ok(Progress::Ended(Ok(outcome))) => Ok(outcome.clone()),
            Ok(Progress::Ended(Err(status))) => Err(Failure::from(Status::clone(status))),
            // The sender lives in `self`.
            Ok(Progress::Waiting | Progress::Working) | Err(_) => {
                Err(Failure::from(Error::internal("the outcome of a statement was lost")))
            }
        }
    }
}

async fn work(statement: &Arc<Statement>, gone: &CancellationToken) -> Result<Outcome> {
    let (mut batches, mut changed) = (Vec::new(), None);
    for number in 0..statement.work.runs() {
        let answer = run(statement, number, gone).await.map_err(|error| after(error, number))?;
        changed = match (changed, answer.changed) {
            (Some(before), Some(now)) => Some(before + now),
            (before, now) => before.or(now),
        };
        batches.extend(answer.batches.iter().cloned());
    }
    Ok(Outcome { batches: batches.into(), changed })
}

async fn run(statement: &Arc<Statement>, number: usize, gone: &CancellationToken) -> Result<Outcome, Error> {
    // What has not begun to run can be dropped; what has is asked to end, and says how it did.
    let started = gone.run_until_cancelled(statement.start(number)).await;
    to_the_end(started.ok_or_else(left)??, gone).await
}

/// The error, with how many of the rows of parameters took effect: each is a statement of its own.
fn after(error: Error, number: usize) -> Error {
    if number == 0 {
        return error;
    }
    let kept = match number {
        1 => "the first row of parameters took effect".to_owned(),
        several => format!("the first {several} rows of parameters took effect"),
    };
    let hint = error.hint_text().map_or_else(|| kept.clone(), |hint| format!("{hint}; {kept}"));
    error.hint(hint)
}

/// Reads a stream to its end, whether the client stays or not.
async fn to_the_end(stream: QueryStream, gone: &CancellationToken) -> Result<Outcome, Error> {
    let (kind, handle) = (stream.kind(), Arc::clone(stream.handle()));
    let reading = stream.try_collect::<Vec<RecordBatch>>();
    tokio::pin!(reading);
    let batches = tokio::select! {
        batches = &mut reading => batches?,
        () = gone.cancelled() => {
            handle.cancel("the client went away");
            reading.await?
        }
    };
    let changed = (kind == StatementKind::Dml).then(|| batches.iter().map(count).sum());
    Ok(Outcome { batches: batches.into(), changed })
}

/// The rows that a statement says it changed.
fn count(batch: &RecordBatch) -> i64 {
    let counts = batch.columns().first().and_then(|column| column.as_primitive_opt::<UInt64Type>());
    let sum: u64 = counts.map(|counts| counts.values().iter().sum()).unwrap_or_default();
    i64::try_from(sum).unwrap_or(i64::MAX)
}

fn left() -> Error {
    Error::new(tidemill_engine::ErrorKind::Cancelled, "the query was cancelled: the client went away")
}
