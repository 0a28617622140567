//! The configuration: built-in defaults < file < environment < flags, each value with the layer that set it.
//!
//! `sources` reads the layers, `reference` knows every key (it is read from `config/default.toml`), `effective` merges
//! and remembers who set what, `decode` turns the result into the typed [`Config`], `validate` checks what concerns
//! several keys. Only this crate reads files and the environment; everything else is handed a `Config`.

mod ambient;
mod cluster;
mod decode;
mod effective;
mod key;
mod layer;
pub(crate) mod live;
mod problem;
mod reference;
mod secrets;
mod shown;
mod sources;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use tidemill_engine::auth::AuthConfig;
use tidemill_engine::config::{
    AdmissionConfig, AutoscaleConfig, CacheConfig, CatalogConfig, EngineConfig, HistoryConfig, LimitsConfig,
    MemoryConfig, ResultsConfig, RuntimeConfig, SessionsConfig, SpillConfig, StorageConfig,
};
use tidemill_engine::units::Span;

pub use cluster::{ClusterConfig, WorkerConfig};
pub use effective::{Effective, Origin};
pub use key::Key;
pub use problem::{Problem, Problems};
pub use reference::{Entry, Reference};
pub use sources::{DEFAULTS, Sources};
pub use tidemill_frontend::config::{FlightSqlConfig, HttpConfig, MetricsConfig, TlsPaths};

/// Everything the server can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The process.
    pub server: ServerConfig,
    /// The HTTP door.
    pub http: HttpConfig,
    /// A listener of its own for the metrics.
    pub metrics: MetricsConfig,
    /// The Flight SQL door.
    pub flight_sql: FlightSqlConfig,
    /// Who may connect.
    pub auth: AuthConfig,
    /// The cluster that the server coordinates, or that a worker joins.
    pub cluster: ClusterConfig,
    /// This process as a worker.
    pub worker: WorkerConfig,
    /// The engine.
    pub engine: EngineConfig,
    /// The values as they were written, and who set them.
    pub effective: Effective,
}

/// The process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Where history, spooled results and spill files live.
    pub data_dir: PathBuf,
    /// How long a stopping server waits for running queries before it cancels them.
    pub drain_timeout: Span,
    /// Whether catalog `demo` is there.
    pub demo: bool,
    /// What the process writes to standard error.
    pub log: LogConfig,
}

/// What the process writes to standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Which events are written, in the syntax of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// How an event is written.
    pub format: LogFormat,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// The layout of a configuration file, section by section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    server: ServerConfig,
    http: HttpConfig,
    metrics: MetricsConfig,
    flight_sql: FlightSqlConfig,
    auth: AuthConfig,
    cluster: ClusterConfig,
    worker: WorkerConfig,
    runtime: RuntimeConfig,
    admission: AdmissionConfig,
    autoscale: AutoscaleConfig,
    memory: MemoryConfig,
    spill: SpillConfig,
    limits: LimitsConfig,
    sessions: SessionsConfig,
    history: HistoryConfig,
    cache: CacheConfig,
    results: ResultsConfig,
    storage: StorageConfig,
    catalogs: BTreeMap<String, CatalogConfig>,
    settings: BTreeMap<String, String>,
}

impl Document {
    fn into_config(self, effective: Effective) -> Config {
        let document = self;
        Config {
            engine: EngineConfig {
                data_dir: document.server.data_dir.clone(),
                runtime: document.runtime,
                admission: document.admission,
                autoscale: document.autoscale,
                memory: document.memory,
                spill: document.spill,
                limits: document.limits,
                sessions: document.sessions,
                history: document.history,
                cache: document.cache,
                results: document.results,
                storage: document.storage,
                catalogs: document.catalogs,
                settings: document.settings,
            },
            server: document.server,
            http: document.http,
            metrics: document.metrics,
            flight_sql: document.flight_sql,
            auth: document.auth,
            cluster: document.cluster,
            worker: document.worker,
            effective,
        }
    }
}

/// Reads all layers and decodes them.
///
/// # Errors
/// Every unknown key and every bad value of every layer, not only the first.
pub fn load(sources: &Sources) -> Result<Config, Problems> {
    let (effective, mut problems) = Effective::read(sources);
    let data_dir = Key::default().child("server").child("data_dir");
    if effective.get(&data_dir).is_none() {
        let message =
            "not set, and neither XDG_DATA_HOME nor HOME is, below which it would be; set it, or use --data-dir";
        problems.push(Problem::with_key(data_dir, None, message));
        problems.sort();
        return Err(problems);
    }
    let config = effective.decode(sources, &mut problems);
    problems.sort();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}
