use std::path::Path;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use parking_lot::Mutex;

use super::*;
use crate::cli::sql::client::{Listing, Progress};
use crate::cli::sql::failure::Fault;

/// Answers `nothing`, `rows`, `half` (fails after its first rows), `hang` (for ever) and refuses the rest.
#[derive(Default)]
struct Fake {
    calls: Arc<Mutex<Vec<String>>>,
}

/// Notes when an answer is let go of.
struct LetGo(Arc<Mutex<Vec<String>>>);

async fn hang(_held: LetGo) -> Result<RecordBatch, Failure> {
    std::future::pending().await
}

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.lock().push("LET GO".to_owned());
    }
}

fn fault(detail: &str) -> Failure {
    Failure::Statement(Fault { detail: detail.to_owned(), ..Fault::default() })
}

fn batch() -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap()
}

impl Client for Fake {
    fn run<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<Answer, Failure>> {
        self.calls.lock().push(sql.to_owned());
        Box::pin(async move {
            let batches = match sql {
                "nothing" => return Ok(Answer { schema: Arc::new(Schema::empty()), batches: stream::empty().boxed() }),
                "rows" => stream::iter([Ok(batch()), Ok(batch())]).boxed(),
                "half" => stream::iter([Ok(batch()), Err(fault("broken"))]).boxed(),
                "hang" => stream::once(hang(LetGo(Arc::clone(&self.calls)))).boxed(),
                _ => return Err(fault("unknown")),
            };
            Ok(Answer { schema: batch().schema(), batches })
        })
    }

    fn cancel(&self) -> BoxFuture<'_, ()> {
        self.calls.lock().push("CANCEL".to_owned());
        Box::pin(std::future::ready(()))
    }

    fn progress(&self) -> BoxFuture<'_, Option<Progress>> {
        Box::pin(std::future::ready(None))
    }

    fn names<'a>(&'a self, _listing: Listing<'a>) -> BoxFuture<'a, Option<Vec<String>>> {
        Box::pin(std::future::ready(None))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn runner(path: &Path) -> (Arc<Fake>, Runner) {
    let fake = Arc::new(Fake::default());
    let client: Arc<dyn Client> = Arc::<Fake>::clone(&fake);
    let style = Style { format: Format::Csv, expanded: false };
    (fake, Runner::new(client, Output::file(path).unwrap(), style))
}

#[tokio::test]
async fn a_script_runs_in_order_and_its_results_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.csv");
    let (fake, mut runner) = runner(&path);
    runner.script("nothing; rows;\nrows").await.unwrap();
    runner.output.close().unwrap();
    assert_eq!(*fake.calls.lock(), ["nothing", "rows", "rows"]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "n\n1\n2\n1\n2\n\nn\n1\n2\n1\n2\n");
}

#[tokio::test]
async fn a_script_stops_at_the_first_error() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, mut runner) = runner(&folder.path().join("out.csv"));
    for (script, calls) in [("nope; rows", "nope"), ("half; rows", "half")] {
        assert!(matches!(runner.script(script).await, Err(Failure::Statement(_))));
        assert_eq!(fake.calls.lock().drain(..).collect::<Vec<_>>(), [calls]);
    }
}

#[tokio::test]
async fn ctrl_c_cancels_the_query() {
    let folder = tempfile::tempdir().unwrap();
    let (fake, mut runner) = runner(&folder.path().join("out.csv"));
    let interrupts = Arc::clone(&runner.interrupts.pressed);
    let press = async {
        while fake.calls.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        interrupts.notify_one();
        std::future::pending::<()>().await
    };
    let outcome = tokio::select! {
        outcome = runner.script("hang") => outcome,
        () = press => unreachable!(),
    };
    assert!(matches!(outcome, Err(Failure::Interrupted)));
    assert_eq!(*fake.calls.lock(), ["hang", "CANCEL", "LET GO"]);

    runner.interrupts.pressed.notify_one();
    runner.forget_interrupts();
    runner.script("rows").await.unwrap();
}

#[test]
fn times_are_short_to_read() {
    for (millis, text) in [(3, "3.0 ms"), (120, "120 ms"), (12_340, "12.3 s"), (61_000, "1 min 1 s")] {
        assert_eq!(human_time(Duration::from_millis(millis)), text);
    }
}
