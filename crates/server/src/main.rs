//! The `tidemill` binary.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    tidemill_server::cli::run().await
}
