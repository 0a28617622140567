//! The `tidemill` binary.

use std::process::ExitCode;

use tidemill_server::cli;

fn main() -> ExitCode {
    match cli::runtime() {
        Ok(runtime) => runtime.block_on(cli::run()),
        Err(error) => cli::cannot_start(&error),
    }
}
