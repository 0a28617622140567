//! Runs statements one after the other: rows to the output, time and messages to the person, Ctrl-C to the query.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, TryStreamExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::{Format, Output, ResultWriter, Style};
use super::progress::Bar;
use super::script::Script;

/// A table on a terminal ends here: nobody reads on, and the scroll-back is full.
const MAX_TERMINAL_ROWS: u64 = 100_000;

/// How long a cancelled query may take to be gone before we go on.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

/// A session with everything that belongs to showing its results.
pub(crate) struct Runner {
    pub(super) client: Arc<dyn Client>,
    pub(super) output: Output,
    pub(super) style: Style,
    /// Whether the time of each statement is shown.
    pub(super) timing: bool,
    interrupts: Interrupts,
}

/// What became of one result.
struct Summary {
    columns: usize,
    rows: u64,
    complete: bool,
}

impl Runner {
    /// A runner for this client, which also takes over Ctrl-C.
    pub(crate) fn new(client: Arc<dyn Client>, output: Output, style: Style) -> Self {
        Self { client, output, style, timing: true, interrupts: Interrupts::listen() }
    }

    /// Runs every statement of a script up to the first that fails, and explains the failure.
    pub(crate) async fn script(&mut self, text: &str) -> Result<(), Failure> {
        let script = Script::parse(text);
        let many = script.statements().count() > 1;
        for statement in script.statements() {
            if let Err(failure) = self.statement(statement.text).await {
                if !matches!(failure, Failure::ReaderGone) {
                    say(&failure.explain(statement.text));
                }
                if many && matches!(failure, Failure::Statement(_)) {
                    say(&format!("in the statement that begins at line {}", statement.line));
                }
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Runs one statement and shows its result.
    async fn statement(&mut self, sql: &str) -> Result<(), Failure> {
        let started = Instant::now();
        let client = Arc::clone(&self.client);
        let bar = Bar::new(std::io::stderr().is_terminal());
        let outcome = {
            let showing = show(&*client, sql, &mut self.output, self.style, &bar);
            tokio::pin!(showing);
            tokio::select! {
                biased;
                () = self.interrupts.pressed() => {
                    bar.clear();
                    // While the answer is still held: letting go of it first looks like a client that went away.
                    cancel(&*client).await;
                    Err(Failure::Interrupted)
                }
                outcome = &mut showing => outcome,
                never = bar.follow(&*client) => match never {},
            }
        };
        bar.clear();
        self.footer(&outcome?, started.elapsed())
    }

    /// Ends the output.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.output.close()
    }

    /// Forgets a Ctrl-C that came too late for the statement it was meant for.
    pub(super) fn forget_interrupts(&self) {
        while self.interrupts.pressed.notified().now_or_never().is_some() {}
    }

    fn footer(&mut self, summary: &Summary, elapsed: Duration) -> Result<(), Failure> {
        let mut parts = vec![match (summary.columns, summary.complete, summary.rows) {
            (0, ..) => "ok".to_owned(),
            (_, false, rows) => format!("first {rows} rows; use -o FILE or \\o FILE for all"),
            (_, true, 1) => "1 row".to_owned(),
            (_, true, rows) => format!("{rows} rows"),
        }];
        if self.timing {
            parts.push(human_time(elapsed));
        }
        let footer = format!("({})", parts.join(", "));
        if self.output.is_terminal() {
            self.output.line(&footer)
        } else {
            if std::io::stderr().is_terminal() {
                say(&footer);
            }
            Ok(())
        }
    }
}

/// Cancels the statement that runs.
pub(super) async fn cancel(client: &dyn Client) {
    let _ = tokio::time::timeout(CANCEL_PATIENCE, client.cancel()).await;
}

/// Runs the statement and writes its rows as they come. One whose rows nobody wants any more is cancelled.
async fn show(
    client: &dyn Client,
    sql: &str,
    output: &mut Output,
    style: Style,
    bar: &Bar,
) -> Result<Summary, Failure> {
    let mut answer = client.run(sql).await?;
    let written = write(&mut answer, output, style, bar).await;
    match &written {
        Ok(Summary { complete: true, .. }) | Err(Failure::Statement(_)) => {}
        Ok(_) | Err(_) => cancel(client).await,
    }
    written
}

async fn write(answer: &mut Answer, output: &mut Output, style: Style, bar: &Bar) -> Result<Summary, Failure> {
    let Answer { schema, batches } = answer;
    let mut summary = Summary { columns: schema.fields().len(), rows: 0, complete: true };
    let is_terminal = output.is_terminal();
    let limit = if is_terminal && style.format == Format::Table { MAX_TERMINAL_ROWS } else { u64::MAX };
    // The first rows decide whether there is anything to show: a query that fails early leaves no header behind.
    let mut next = batches.try_next().await?;
    if is_terminal {
        bar.clear();
    }
    let mut writer = match summary.columns {
        0 => None,
        _ => Some(output.begin(schema, style)?),
    };
    while let (Some(batch), Some(writer)) = (&next, &mut writer) {
        let room = limit - summary.rows;
        let rows = (batch.num_rows() as u64).min(room);
        // A prefix no longer than the batch, so it fits a usize.
        writer.write(&batch.slice(0, rows as usize))?;
        summary.rows += rows;
        if rows < batch.num_rows() as u64 {
            summary.complete = false;
            break;
        }
        // Lets Ctrl-C in, even when the rows are always there already.
        tokio::task::yield_now().await;
        next = batches.try_next().await?;
    }
    writer.map(ResultWriter::finish).transpose()?;
    output.flush()?;
    Ok(summary)
}

/// A message for the person, on standard error, so that standard output holds nothing but data.
pub(super) fn say(message: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{message}");
}

fn human_time(elapsed: Duration) -> String {
    match elapsed.as_millis() {
        0..10 => format!("{:.1} ms", elapsed.as_secs_f64() * 1_000.0),
        millis @ 10..10_000 => format!("{millis} ms"),
        millis @ 10_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        millis => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

/// Ctrl-C, remembered until somebody asks.
struct Interrupts {
    pressed: Arc<Notify>,
    _listener: AbortOnDropHandle<()>,
}

impl Interrupts {
    fn listen() -> Self {
        let pressed = Arc::new(Notify::new());
        let notify = Arc::clone(&pressed);
        // From here on and not from the task's first turn, so that whoever handled the signal before no longer does.
        let interrupts = signal(SignalKind::interrupt());
        let listener = tokio::spawn(async move {
            // Without it, Ctrl-C ends the process, as it does everywhere.
            let Ok(mut interrupts) = interrupts else { return };
            while interrupts.recv().await.is_some() {
                notify.notify_one();
            }
        });
        Self { pressed, _listener: AbortOnDropHandle::new(listener) }
    }

    async fn pressed(&self) {
        self.pressed.notified().await;
    }
}

#[cfg(test)]
mod tests;
