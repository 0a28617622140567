//! The command line of `tidemill`: one module a command.

pub mod config;
pub mod serve;
pub mod sql;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Sql {
        /// What to run, and where.
        #[command(flatten)]
        arguments: sql::SqlArguments,
        /// Where the configuration of the engine in this process comes from.
        #[command(flatten)]
        from: config::ConfigArgs,
    },
    /// Show, check and explain the configuration
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
}

/// Runs the command that the process was started with.
pub async fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Sql { arguments, from } => sql::run(arguments, || sql::open_embedded(from)).await,
        Command::Config { command } => run_config(&command),
    }
}

fn run_config(command: &config::ConfigCommand) -> ExitCode {
    match command.run(std::io::stdin().lock(), std::io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}
