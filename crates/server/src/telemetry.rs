//! What the process writes about itself: events on standard error, panics among them.

use std::backtrace::Backtrace;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use anyhow::Context;
use tidemill_engine::Error;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, registry, reload};

use crate::config::{LogConfig, LogFormat};

/// The filter of the process, which has one log.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Sends the events of the whole process to standard error, and panics to the events. To be called once.
///
/// # Errors
/// When the level is not a filter, or when events already go somewhere.
pub fn start(config: &LogConfig) -> anyhow::Result<()> {
    let filter = filter(&config.level).with_context(|| format!("server.log.level '{}'", config.level))?;
    let (filter, handle) = reload::Layer::new(filter);
    let events = fmt::layer().with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Text => registry().with(filter).with(events.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry().with(filter).with(events.json().flatten_event(true)).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))?;
    // Only the first log of a process starts.
    let _ = FILTER.set(handle);
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Writes other events from now on, in the syntax of `server.log.level`.
///
/// # Errors
/// The level is not a filter, or the process has no log of ours.
pub fn set_level(level: &str) -> Result<(), Error> {
    let filter = filter(level).map_err(|error| Error::invalid(format!("'{level}': {error}")))?;
    let handle = FILTER.get().ok_or_else(|| Error::unsupported("the log of this process is not the server's"))?;
    let most = filter.max_level_hint().and_then(|level| level.to_string().parse().ok());
    // What DataFusion and its like write passes a gate of its own before it meets the filter.
    log::set_max_level(most.unwrap_or(log::LevelFilter::Trace));
    handle.reload(filter).map_err(|error| Error::internal("the log took no other filter").caused_by(error))
}

/// Ballista tells whole plans at `info`, with the literals of the statements, and takes what is ordinary for faults: a spill, a job
/// that was cancelled and has ended. Not unless somebody asks for more than that.
const QUIET: &str = "ballista_core=warn,ballista_core::execution_plans::sort_shuffle=error,ballista_executor=warn,\
    ballista_scheduler=warn,ballista_scheduler::state::task_manager=off";

fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::try_new(level)?;
    let quiet = filter.max_level_hint() == Some(LevelFilter::INFO) && !level.contains("ballista");
    if quiet { EnvFilter::try_new(format!("{level},{QUIET}")) } else { Ok(filter) }
}

/// A panic fails one query and is a bug; whoever reads the log needs to see where.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a value that is not text");
    let thread = std::thread::current();
    tracing::error!(
        location = panic.location().map(tracing::field::display),
        thread = thread.name().unwrap_or("unnamed"),
        backtrace = %Backtrace::capture(),
        "panicked: {message}"
    );
}
