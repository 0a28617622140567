//! The command line of `tidemill`: one module a command.

pub mod config;
pub mod serve;
pub mod sql;
pub mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidemill_engine::run::STACK_BYTES;
use tokio::runtime::{Builder, Runtime};

/// Threads that serve connections, at least; what is over in microseconds runs on them, and others must be answered.
const MIN_THREADS: usize = 4;

/// The runtime for everything but the computing of queries.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> io::Result<Runtime> {
    let threads = crate::machine::cores().max(MIN_THREADS);
    Builder::new_multi_thread().worker_threads(threads).thread_stack_size(STACK_BYTES).enable_all().build()
}

/// Tells that the process can not even begin.
pub fn cannot_start(error: &io::Error) -> ExitCode {
    // Without standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "error: cannot start: {error}");
    ExitCode::FAILURE
}

/// A SQL and dataframe query engine server.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Worker(worker::WorkerArgs),
    Sql(sql::SqlArguments),
    /// Show, check and explain the configuration
    #[command(after_help = "Exit codes: 0 all is well; 1 cannot read or write; 2 wrong usage or configuration.")]
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
}

/// Runs the command that the process was started with.
pub async fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => Box::pin(serve::run(arguments)).await,
        Command::Worker(arguments) => Box::pin(worker::run(arguments)).await,
        Command::Sql(arguments) => sql::run(arguments).await,
        Command::Config { command } => run_config(&command),
    }
}

fn run_config(command: &config::ConfigCommand) -> ExitCode {
    match command.run(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        // The reader has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "error: {}", told(&error));
            ExitCode::from(if error.is::<crate::config::Problems>() { config::EXIT_BAD_CONFIG } else { 1 })
        }
    }
}

/// An error with its causes, except for those that it names already.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let plain = || Err::<(), _>(anyhow::anyhow!("disk full"));
        let text = |message: &'static str| told(&plain().context(message).unwrap_err());
        assert_eq!(text("cannot write"), "cannot write: disk full");
        assert_eq!(text("cannot write: disk full"), "cannot write: disk full");
    }
}
