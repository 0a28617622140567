//! The configuration of a running server: shown with its layers, and changed where that is safe. Changes are gone with the
//! process; files are not written.

use std::sync::Arc;

use parking_lot::Mutex;
use tidemill_engine::{Engine, Error, Result, Subject};
use tidemill_frontend::configuration::{ConfigEntry, Configuration};
use toml::Value;

use super::decode::{DecodeError, decode_value};
use super::reference::Known;
use super::{Config, Key, Origin, Problems, Reference, layer, shown, validate};
use crate::telemetry;

/// Puts a value into its place, if it fits there.
type Put = fn(&mut Config, Value) -> Result<(), DecodeError>;

/// The keys that a running server takes up anew.
const CHANGEABLE: [(&str, Put); 15] = [
    ("server.log.level", |config, value| set_log_level(config, value)),
    ("admission.max_running", |config, value| put(&mut config.engine.admission.max_running, value)),
    ("admission.max_running_per_principal", |config, value| {
        put(&mut config.engine.admission.max_running_per_principal, value)
    }),
    ("admission.max_running_in_cluster", |config, value| {
        put(&mut config.engine.admission.max_running_in_cluster, value)
    }),
    ("admission.max_queued", |config, value| put(&mut config.engine.admission.max_queued, value)),
    ("admission.queue_timeout", |config, value| put(&mut config.engine.admission.queue_timeout, value)),
    ("admission.when_full", |config, value| put(&mut config.engine.admission.when_full, value)),
    ("limits.max_sql_bytes", |config, value| put(&mut config.engine.limits.max_sql_bytes, value)),
    ("limits.max_parameters", |config, value| put(&mut config.engine.limits.max_parameters, value)),
    ("limits.max_expression_depth", |config, value| put(&mut config.engine.limits.max_expression_depth, value)),
    ("limits.max_plan_operators", |config, value| put(&mut config.engine.limits.max_plan_operators, value)),
    ("limits.max_plan_depth", |config, value| put(&mut config.engine.limits.max_plan_depth, value)),
    ("limits.max_select_columns", |config, value| put(&mut config.engine.limits.max_select_columns, value)),
    ("limits.max_statement_timeout", |config, value| put(&mut config.engine.limits.max_statement_timeout, value)),
    ("results.ttl", |config, value| put(&mut config.engine.results.ttl, value)),
];

fn put<T: serde::de::DeserializeOwned>(place: &mut T, value: Value) -> Result<(), DecodeError> {
    *place = decode_value(value)?;
    Ok(())
}

fn set_log_level(config: &mut Config, value: Value) -> Result<(), DecodeError> {
    let level: String = decode_value(value)?;
    validate::log_level(&level).map_err(serde::de::Error::custom)?;
    config.server.log.level = level;
    Ok(())
}

/// Whether a running server takes another value of this key.
pub(super) fn is_changeable(key: &Key) -> bool {
    find(key).is_some()
}

fn find(key: &Key) -> Option<Put> {
    let text = key.to_string();
    CHANGEABLE.iter().find(|(changeable, _)| *changeable == text).map(|(_, put)| *put)
}

/// The configuration of a running server.
#[derive(Debug)]
pub(crate) struct LiveConfig {
    engine: Arc<Engine>,
    current: Mutex<Config>,
}

impl LiveConfig {
    /// The configuration that this engine was started with.
    pub(crate) fn new(config: Config, engine: Arc<Engine>) -> Self {
        Self { engine, current: Mutex::new(config) }
    }
}

impl Configuration for LiveConfig {
    fn entries(&self) -> Vec<ConfigEntry> {
        let current = self.current.lock();
        let keys = current.effective.entries().filter(|(_, value, _)| !value.is_table()).map(|(key, ..)| key);
        keys.filter_map(|key| manual_of(key).map(|manual| shown::entry(key, manual, &current.effective))).collect()
    }

    fn entry(&self, key: &str) -> Result<ConfigEntry> {
        let key = parse(key)?;
        let manual = manual_of(&key).ok_or_else(|| unknown(&key))?;
        Ok(shown::entry(&key, manual, &self.current.lock().effective))
    }

    fn change(&self, key: &str, value: &str, by: &str) -> Result<ConfigEntry> {
        let key = parse(key)?;
        let manual = manual_of(&key).ok_or_else(|| unknown(&key))?;
        let Some(put) = find(&key) else {
            return Err(Error::unsupported(format!("{key} is read only when the server starts")));
        };
        let mut current = self.current.lock();
        let mut changed = current.clone();
        let mut problems = Problems::default();
        let assignment = layer::request(key.clone(), value, Origin::Request(by.to_owned()), &mut problems);
        let Some(assignment) = assignment else { return Err(refused(&key, &problems)) };
        let value = assignment.value.clone();
        changed.effective.assign(assignment);
        if let Err(error) = put(&mut changed, value) {
            problems.push(changed.effective.explain(DecodeError::at(&key, error)));
            return Err(refused(&key, &problems));
        }
        if changed.server.log.level != current.server.log.level {
            telemetry::set_level(&changed.server.log.level)?;
        }
        self.engine.tune(&changed.engine);
        let entry = shown::entry(&key, manual, &changed.effective);
        *current = changed;
        tracing::info!(%key, value = %entry.value, by, "a key of the configuration was changed");
        Ok(entry)
    }
}

fn parse(key: &str) -> Result<Key> {
    key.parse().map_err(|message: String| Error::not_found(Subject::Setting, message))
}

fn manual_of(key: &Key) -> Option<&'static super::Entry> {
    match Reference::get().find(key) {
        Known::Entry(entry) => Some(entry),
        Known::Section | Known::No => None,
    }
}

fn unknown(key: &Key) -> Error {
    let reference = Reference::get();
    if reference.has_keys_below(key) {
        return Error::not_found(Subject::Setting, format!("'{key}' is a section of the configuration, not a key"))
            .hint(format!("GET /v1/config?q={key}. lists the keys below it"));
    }
    Error::not_found(Subject::Setting, format!("there is no key '{key}' in the configuration"))
        .suggest(reference.suggest(key))
        .hint("GET /v1/config lists the keys that are set")
}

/// What is wrong with the value, without the place: it is that of the request.
fn refused(key: &Key, problems: &Problems) -> Error {
    let messages = problems.0.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ");
    Error::invalid(format!("{key}: {messages}")).about(Subject::Setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn config() -> Config {
        let sources = Sources::default().flag("--data-dir", "server.data_dir", "/data");
        load(&sources).unwrap()
    }

    #[test]
    fn changeable_keys_are_keys_and_take_their_defaults() {
        let mut config = config();
        for (name, put) in CHANGEABLE {
            let key: Key = name.parse().unwrap();
            let manual = manual_of(&key).unwrap_or_else(|| panic!("{name} is no key"));
            assert!(manual.is_default && !manual.is_secret(), "{name}");
            put(&mut config, manual.value.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn a_change_goes_to_its_place() {
        let mut config = config();
        let set =
            |config: &mut Config, name: &str, text: &str| find(&name.parse().unwrap()).unwrap()(config, text.into());
        set(&mut config, "results.ttl", "5m").unwrap();
        set(&mut config, "admission.when_full", "refuse").unwrap();
        set(&mut config, "server.log.level", "debug").unwrap();
        assert_eq!(config.engine.results.ttl.to_string(), "5m");
        assert_eq!(config.engine.admission.when_full, tidemill_engine::config::WhenFull::Refuse);
        assert_eq!(config.server.log.level, "debug");
        assert!(set(&mut config, "server.log.level", "tidemill=loudest").is_err());
        assert!(set(&mut config, "admission.when_full", "panic").is_err());
    }
}
