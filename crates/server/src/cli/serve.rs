//! `tidemill serve`: the server.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tidemill_engine::{Error, ErrorKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::config::{ConfigArgs, EXIT_BAD_CONFIG};
use crate::app::App;
use crate::{config, demo, telemetry};

/// Run the server.
///
/// Prints `listening door=http address=HOST:PORT` when it accepts connections, then `door=flight_sql`, and `door=metrics` if
/// metrics.listen is set, and `door=scheduler` with --cluster. SIGTERM and Ctrl-C stop it: it refuses new
/// queries, waits for running ones up to server.drain_timeout, cancels the rest and exits with 0; a second Ctrl-C does not
/// wait. SIGHUP reads the TLS files again.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 stopped as asked; 1 failed; 2 wrong usage or configuration; 130 second Ctrl-C.")]
pub struct ServeArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    from: ConfigArgs,
    /// The address of the HTTP door (http.listen); port 0 takes any free port
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Make the demo data (TPC-H at scale 0.1, and a time series) and serve it as catalog `demo`
    #[arg(long)]
    demo: bool,
    /// Coordinate workers (cluster.enabled), which `tidemill worker` starts
    #[arg(long)]
    cluster: bool,
    /// Where workers find this server (cluster.listen); port 0 takes any free port
    #[arg(long, value_name = "HOST:PORT", requires = "cluster")]
    scheduler: Option<String>,
}

/// Runs the server until it is told to stop.
pub async fn run(arguments: ServeArgs) -> ExitCode {
    let mut sources = arguments.from.sources();
    if let Some(http) = &arguments.http {
        sources = sources.flag("--http", "http.listen", http);
    }
    if arguments.demo {
        sources = sources.flag("--demo", "server.demo", "true");
    }
    if arguments.cluster {
        sources = sources.flag("--cluster", "cluster.enabled", "true");
    }
    if let Some(scheduler) = &arguments.scheduler {
        sources = sources.flag("--scheduler", "cluster.listen", scheduler);
    }
    let config = match config::load(&sources) {
        Ok(config) => config,
        Err(problems) => {
            report(&problems.to_string());
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    // Boxed, because all of the configuration is in it.
    match Box::pin(serve(config)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("error: {}", super::told(&error)));
            if is_about_configuration(&error) { ExitCode::from(EXIT_BAD_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

/// Whether another configuration would have done, on the same machine.
pub(super) fn is_about_configuration(error: &anyhow::Error) -> bool {
    let refused = |error: &Error| matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound);
    error.is::<config::Problems>() || error.downcast_ref().is_some_and(refused)
}

async fn serve(config: config::Config) -> Result<()> {
    telemetry::start(&config.server.log)?;
    let with_demo = config.server.demo;
    let shutdown = CancellationToken::new();
    stop_on_signal(shutdown.clone(), "stopping: no new queries are accepted")?;
    let with_flight_sql = config.flight_sql.enabled;
    let app = App::build(config).await?;
    let (address, metrics, scheduler) = (app.address()?, app.metrics_address()?, app.scheduler_address());
    let mut out = std::io::stdout().lock();
    // A parent that does not read our output is no reason to stop.
    let _ = writeln!(out, "listening door=http address={address}");
    if with_flight_sql {
        let _ = writeln!(out, "listening door=flight_sql address={address}");
    }
    if let Some(address) = metrics {
        let _ = writeln!(out, "listening door=metrics address={address}");
    }
    if let Some(address) = scheduler {
        let _ = writeln!(out, "listening door=scheduler address={address}");
    }
    if with_demo {
        let program = std::env::args().next().unwrap_or_else(|| "tidemill".to_owned());
        let _ = writeln!(out, "{}", demo::guide(&address.to_string(), &program));
    }
    let _ = out.flush();
    drop(out);
    app.run(shutdown).await
}

/// Cancels `shutdown` at the first signal to stop; a second Ctrl-C ends the process at once.
pub(super) fn stop_on_signal(shutdown: CancellationToken, saying: &'static str) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("{saying}");
        shutdown.cancel();
        // A second Ctrl-C means: now.
        interrupt.recv().await;
        std::process::exit(130);
    });
    Ok(())
}

pub(super) fn report(text: &str) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}
