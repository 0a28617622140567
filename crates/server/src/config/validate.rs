//! Rules that concern several keys, or that a type cannot hold.

use tidemill_engine::auth::{AuthMode, Authenticator};
use tracing_subscriber::EnvFilter;

use super::{Config, Effective, Key, Problem, Problems};

/// Reports what would make the server refuse to start, or be open to the world.
pub(crate) fn validate(config: &Config, effective: &Effective, problems: &mut Problems) {
    let mut report = |key: &[&str], message: String| {
        let key = key.iter().fold(Key::default(), |key, name| key.child(name));
        let origin = effective.origin(&key).cloned();
        problems.push(Problem::with_key(key, origin, message));
    };
    let listen = config.http.listen;
    if config.auth.mode == AuthMode::None && !listen.ip().to_canonical().is_loopback() {
        report(
            &["http", "listen"],
            format!("{listen} can be reached from other machines: set auth.mode = \"static\", or listen on 127.0.0.1"),
        );
    }
    if config.auth.mode == AuthMode::Static
        && let Err(error) = Authenticator::new(config.auth.clone())
    {
        report(&["auth", "mode"], error.to_string());
    }
    if let Err(error) = EnvFilter::try_new(&config.server.log.level) {
        report(&["server", "log", "level"], format!("'{}': {error}", config.server.log.level));
    }
}
