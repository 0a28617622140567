//! Rules that concern several keys, or that a type cannot hold.

use tidemill_cluster::transport;
use tidemill_engine::Error;
use tidemill_engine::auth::{AuthMode, Authenticator};
use tidemill_engine::units::{ByteSize, Share};
use tidemill_frontend::config::{check_bind, check_metrics_bind};
use tidemill_frontend::listen::ListenAddress;
use tracing_subscriber::EnvFilter;

use super::{Config, Effective, Key, Problem, Problems};

/// Tasks that a worker computes at once, at most.
const MAX_SLOTS: u32 = 1024;

/// What all tasks of a worker together need.
const MIN_MEMORY: ByteSize = ByteSize(16 << 20);

/// Reports what would make the server refuse to start.
pub(crate) fn validate(config: &Config, effective: &Effective, problems: &mut Problems) {
    // A hash that could not be read is no hash: that is told already.
    let auth = Key::default().child("auth");
    let can_log_in = !problems.0.iter().any(|problem| problem.key.as_ref().is_some_and(|key| key.is_within(&auth)));
    let mut report = |key: &str, message: String| {
        let key = key.split('.').fold(Key::default(), |key, name| key.child(name));
        let origin = effective.origin(&key).cloned();
        problems.push(Problem::with_key(key, origin, message));
    };
    let is_authenticated = config.auth.mode == AuthMode::Static;
    if let Err(error) = check_bind(&config.http.listen, is_authenticated, config.http.tls.is_some()) {
        report("http.listen", with_hint(&error));
    }
    let public = config.http.public_metrics;
    if let Some(address) = &config.metrics.listen
        && let Err(error) = check_metrics_bind(address, is_authenticated, public)
    {
        report("metrics.listen", with_hint(&error));
    }
    let check = |listen: &ListenAddress, has_token, key| {
        listen.addresses().iter().try_for_each(|address| transport::check_bind(*address, has_token, key))
    };
    let token = |config: &transport::TransportConfig| config.join_token.is_some();
    let has_token = token(&config.cluster.transport());
    if config.cluster.enabled
        && let Err(error) = check(&config.cluster.listen, has_token, "cluster.listen")
    {
        report("cluster.listen", with_hint(&error));
    }
    let has_token = token(&config.worker.transport(&config.cluster));
    if let Err(error) = check(&config.worker.listen, has_token, "worker.listen") {
        report("worker.listen", with_hint(&error));
    }
    let slots = config.worker.slots;
    if slots > MAX_SLOTS {
        report("worker.slots", format!("{slots} is more than {MAX_SLOTS}, and each of them is a thread"));
    }
    if let Some(Share::Bytes(memory)) = config.worker.memory
        && memory < MIN_MEMORY
    {
        report("worker.memory", format!("{memory} is less than the {MIN_MEMORY} that tasks need"));
    }
    if let Err(error) = config.http.check() {
        report("http", with_hint(&error));
    }
    if is_authenticated
        && can_log_in
        && let Err(error) = Authenticator::new(config.auth.clone())
    {
        report("auth", with_hint(&error));
    }
    if let Err(message) = log_level(&config.server.log.level) {
        report("server.log.level", message);
    }
}

/// Whether this is a filter of events.
pub(crate) fn log_level(level: &str) -> Result<(), String> {
    EnvFilter::try_new(level).map(drop).map_err(|error| format!("'{level}': {error}"))
}

fn with_hint(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{}; {hint}", error.message()),
        None => error.message().to_owned(),
    }
}
