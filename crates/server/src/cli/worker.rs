//! `tidemill worker`: computes tasks for a coordinator.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tidemill_engine::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::config::{ConfigArgs, EXIT_BAD_CONFIG};
use super::serve::{is_about_configuration, report, stop_on_signal};
use crate::app::WorkerApp;
use crate::{config, telemetry};

/// Exit code of a worker that the coordinator does not take.
const EXIT_REFUSED: u8 = 3;

/// Compute tasks for a coordinator (`tidemill serve --cluster`).
///
/// Prints `listening door=worker address=HOST:PORT` when it listens, and `joined coordinator=HOST:PORT id=ID` when the
/// coordinator has taken it. SIGTERM and Ctrl-C drain it: it takes no more tasks, finishes those it has, serves their output
/// until no query needs it, for worker.drain_timeout at most, and exits with 0.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 drained; 1 failed; 2 wrong usage or configuration; 3 refused by the coordinator."
)]
pub struct WorkerArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    from: ConfigArgs,
    /// Where the coordinator listens for workers (worker.coordinator)
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: Option<String>,
    /// The address to listen on (worker.listen); port 0 takes any free port
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// What others reach this worker by (worker.advertise), if that is not the address it listens on
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Tasks computed at once (worker.slots); 0 means one per core
    #[arg(long, value_name = "N")]
    slots: Option<String>,
    /// Memory of all tasks together (worker.memory), as a size or a share of the machine's
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Folder for the output of tasks and for spill files (worker.work_dir)
    #[arg(long, value_name = "DIR")]
    work_dir: Option<String>,
}

/// Runs the worker until it is drained.
pub async fn run(arguments: WorkerArgs) -> ExitCode {
    let mut sources = arguments.from.sources();
    let flags = [
        ("--coordinator", "worker.coordinator", &arguments.coordinator),
        ("--listen", "worker.listen", &arguments.listen),
        ("--advertise", "worker.advertise", &arguments.advertise),
        ("--slots", "worker.slots", &arguments.slots),
        ("--memory", "worker.memory", &arguments.memory),
        ("--work-dir", "worker.work_dir", &arguments.work_dir),
    ];
    for (flag, key, value) in flags {
        if let Some(value) = value {
            sources = sources.flag(flag, key, value);
        }
    }
    let config = match config::load(&sources) {
        Ok(config) if config.worker.coordinator.is_none() => {
            report("error: which coordinator? Give --coordinator HOST:PORT, or set worker.coordinator");
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
        Ok(config) => config,
        Err(problems) => {
            report(&problems.to_string());
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    match work(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("error: {}", super::told(&error)));
            if is_refusal(&error) {
                ExitCode::from(EXIT_REFUSED)
            } else if is_about_configuration(&error) {
                ExitCode::from(EXIT_BAD_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn work(config: config::Config) -> Result<()> {
    telemetry::start(&config.server.log)?;
    let shutdown = CancellationToken::new();
    stop_on_signal(shutdown.clone(), "stopping: no more tasks are taken")?;
    let app = WorkerApp::build(config).await?;
    let (address, coordinator) = (app.address(), app.coordinator().to_string());
    say(&format!("listening door=worker address={address}"));
    app.run(shutdown, move |id| say(&format!("joined coordinator={coordinator} id={id}"))).await
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that does not read our output is no reason to stop.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn is_refusal(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<Error>().map(Error::kind);
    matches!(kind, Some(ErrorKind::Unauthenticated | ErrorKind::Unsupported))
}
