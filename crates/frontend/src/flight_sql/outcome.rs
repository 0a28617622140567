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
        // What has not begun to run can be dropped; what has is asked to end, and says how it did.
        let started = gone.run_until_cancelled(statement.start(number)).await;
        let Some(stream) = started else { return Err(Failure::from(left())) };
        let answer = to_the_end(stream?, gone).await?;
        changed = match (changed, answer.changed) {
            (Some(before), Some(now)) => Some(before + now),
            (before, now) => before.or(now),
        };
        batches.extend(answer.batches.iter().cloned());
    }
    Ok(Outcome { batches: batches.into(), changed })
}

/// Reads a stream to its end, whether the client stays or not.
async fn to_the_end(stream: QueryStream, gone: &CancellationToken) -> Result<Outcome> {
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
