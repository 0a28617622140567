//! Runs the SQL corpus (`tests/sql/**/*.slt`) through every way into the engine.
//!
//! `TIDEMILL_SLT=joins/` runs the files whose path contains the text; `TIDEMILL_SLT_COMPLETE=1` rewrites the expectations
//! from the engine's answers. How values are written is told in `tests/sql/README.md`.

mod connection;
mod corpus;
mod flight_sql;
mod render;

use std::sync::Arc;

use anyhow::{bail, ensure};
use futures::StreamExt;
use tidemill_server::cli::runtime;
use tidemill_tests::TestServer;

use connection::Via;
use corpus::File;

/// Files that run at once: enough to cross each other's paths, few enough for two cores.
const PARALLEL_FILES: usize = 4;

/// Workers of the cluster: what is computed by two of them is exchanged.
const WORKERS: usize = 2;

/// Statements that workers compute at least; the rest change something, ask the server about itself, or say why they can not go.
const COMPUTED: i64 = 1300;

#[test]
fn engine() -> anyhow::Result<()> {
    runtime()?.block_on(async { tokio::spawn(run(Via::Engine)).await? })
}

#[test]
fn http() -> anyhow::Result<()> {
    runtime()?.block_on(async { tokio::spawn(run(Via::Http)).await? })
}

#[test]
fn flight_sql() -> anyhow::Result<()> {
    runtime()?.block_on(async { tokio::spawn(run(Via::FlightSql)).await? })
}

#[test]
fn cluster() -> anyhow::Result<()> {
    runtime()?.block_on(async { tokio::spawn(run(Via::Cluster)).await? })
}

async fn run(via: Via) -> anyhow::Result<()> {
    let complete = std::env::var_os("TIDEMILL_SLT_COMPLETE").is_some();
    if complete && via != Via::Engine {
        return Ok(());
    }
    let files = corpus::files(via)?;
    let server = match via {
        Via::Cluster => Box::pin(TestServer::with_workers(WORKERS)).await?,
        Via::Engine | Via::Http | Via::FlightSql => TestServer::start().await?,
    };
    let server = Arc::new(server);
    let count = files.len();
    let outcomes = futures::stream::iter(files)
        .map(|file| {
            let server = Arc::clone(&server);
            async move { (file.name.clone(), outcome(&file, via, server, complete).await) }
        })
        .buffer_unordered(PARALLEL_FILES);
    let mut failures: Vec<String> = outcomes
        .filter_map(|(name, outcome)| async move { outcome.err().map(|error| format!("{name}: {error:#}")) })
        .collect()
        .await;
    failures.sort();
    if !failures.is_empty() {
        bail!("{} of {count} files failed via {}\n\n{}", failures.len(), via.name(), failures.join("\n\n"));
    }
    if via == Via::Cluster {
        let session = server.session()?;
        let computed =
            connection::count(&session, "SELECT count(*) FROM system.queries WHERE runner = 'cluster'").await?;
        ensure!(computed >= COMPUTED, "only {computed} statements of {count} files were computed by workers");
    }
    Ok(())
}

/// Runs one file in a session and a temporary folder of its own.
async fn outcome(file: &File, via: Via, server: Arc<TestServer>, complete: bool) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let places = connection::Places::new(&corpus::data_dir(), scratch.path());
    let connect = || connection::connect(via, Arc::clone(&server), places.clone());
    let mut runner = sqllogictest::Runner::new(connect);
    runner.with_column_validator(sqllogictest::strict_column_validator);
    if complete {
        let rewritten = runner.update_test_file(
            &file.path,
            " ",
            sqllogictest::default_validator,
            sqllogictest::default_normalizer,
            sqllogictest::strict_column_validator,
        );
        return rewritten.await.map_err(|error| anyhow::anyhow!("{error}"));
    }
    let outcome = runner.run_file_async(&file.path).await;
    runner.shutdown_async().await;
    Ok(outcome?)
}
