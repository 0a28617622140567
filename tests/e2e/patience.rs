//! How long tests wait for what must come true.

use std::time::Duration;

use anyhow::Context;
use tidemill_server::cli::runtime;
use tokio::time::{sleep, timeout};

/// How long what is let go of may take to be gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How long everything else may take, on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Runs a test that may hang.
pub(crate) fn run(test: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> anyhow::Result<()> {
    runtime()?.block_on(async { timeout(LONG, tokio::spawn(test)).await.context("the test hangs")?? })
}

/// Waits until the condition holds.
pub(crate) async fn come_true(what: &str, within: Duration, condition: impl Fn() -> bool) -> anyhow::Result<()> {
    let asking = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(within, asking).await.with_context(|| format!("{what} did not come true within {within:?}"))
}
