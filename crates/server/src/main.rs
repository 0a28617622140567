//! The `tidemill` binary.

use std::process::ExitCode;

use tidemill_server::cli;

fn main() -> ExitCode {
    match cli::runtime() {
        Ok(runtime) => runtime.block_on(async { tokio::spawn(cli::run()).await.unwrap_or(ExitCode::FAILURE) }),
        Err(error) => cli::cannot_start(&error),
    }
}
