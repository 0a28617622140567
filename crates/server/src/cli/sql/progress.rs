//! The progress bar of a query that takes its time, on standard error and only for a person.

use std::convert::Infallible;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::client::{Client, Progress};

/// A query faster than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// Between two looks at the query.
const INTERVAL: Duration = Duration::from_millis(200);

/// Steps of the bar; the engine tells a share.
const STEPS: u64 = 1_000;

/// The bar of one query. It is invisible unless standard error is a terminal.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    wanted: bool,
}

impl Bar {
    /// A bar that nobody sees yet.
    pub(super) fn new(wanted: bool) -> Self {
        Self { bar: ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::hidden()), wanted }
    }

    /// Follows the query for as long as it is polled.
    pub(super) async fn follow(&self, client: &dyn Client) -> Infallible {
        if !self.wanted {
            return std::future::pending().await;
        }
        tokio::time::sleep(PATIENCE).await;
        self.bar.set_draw_target(ProgressDrawTarget::stderr());
        loop {
            if let Some(progress) = client.progress().await
                && !self.bar.is_finished()
            {
                self.show(&progress);
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn show(&self, progress: &Progress) {
        let template = match progress.fraction {
            Some(_) => "[{elapsed_precise}] {bar:30} {percent:>3}% {msg}",
            None => "[{elapsed_precise}] {spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        if let Some(fraction) = progress.fraction {
            self.bar.set_position((fraction.clamp(0.0, 1.0) * STEPS as f64) as u64);
        }
        self.bar.set_message(format!(
            "{} rows, {} read, {} memory",
            HumanCount(progress.rows_read),
            HumanBytes(progress.bytes_read),
            HumanBytes(progress.memory_bytes)
        ));
        self.bar.tick();
    }

    /// Takes the bar away for good: the rows themselves show the progress now.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
