//! Session settings: a typed table, one file each, behind `SET`, `RESET`, `SHOW` and the doors' per-request settings.
//!
//! DataFusion's own options are reachable only through the whitelist in [`engine_option`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::prelude::SessionConfig;

use super::SettingInfo;
use super::resolved::Resolved;
use crate::catalog::Catalogs;
use crate::error::{Error, Result, Subject};
use crate::plan::suggest::closest;

mod application_name;
mod batch_size;
mod catalog;
mod cluster_threshold;
mod engine_option;
mod ipc_compression;
mod memory_limit;
mod priority;
mod read_only;
mod result_cache;
mod result_partitions;
mod row_limit;
mod runner;
mod schema;
mod statement_timeout;
mod target_partitions;
mod time_zone;
mod wire_views;

/// One setting: what `SHOW ALL` says of it, and how a text becomes its value.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// Other names that clients use for the same thing.
    pub(crate) aliases: &'static [&'static str],
    /// The type, or the accepted words.
    pub(crate) kind: &'static str,
    pub(crate) default: &'static str,
    pub(crate) doc: &'static str,
    /// Checks the text and puts the value in place; the error says what would be accepted.
    pub(crate) apply: fn(&str, &mut Resolved) -> Result<(), String>,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

static SETTINGS: [&Setting; 17] = [
    &application_name::SETTING,
    &batch_size::SETTING,
    &catalog::SETTING,
    &cluster_threshold::SETTING,
    &ipc_compression::SETTING,
    &memory_limit::SETTING,
    &priority::SETTING,
    &read_only::SETTING,
    &result_cache::SETTING,
    &result_partitions::SETTING,
    &row_limit::SETTING,
    &runner::SETTING,
    &schema::SETTING,
    &statement_timeout::SETTING,
    &target_partitions::SETTING,
    &time_zone::SETTING,
    &wire_views::SETTING,
];

/// Settings that say how a statement runs, and never what it answers.
const NOT_OF_RESULTS: [&str; 8] = [
    "application_name",
    "cluster_threshold",
    "memory_limit",
    "priority",
    "read_only",
    "result_cache",
    "runner",
    "statement_timeout",
];

/// The values of one session: the server's defaults, and what the session changed.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    defaults: Arc<BTreeMap<String, String>>,
    changed: BTreeMap<String, String>,
    resolved: Arc<Resolved>,
    /// Which names were set and are still to be looked up.
    unproven: Unproven,
}

/// Names that may stand for nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Unproven {
    catalog: bool,
    schema: bool,
}

impl Settings {
    /// The server's defaults: the table's, then those of the configuration.
    pub(crate) fn new(base: SessionConfig, configured: &BTreeMap<String, String>) -> Result<Self> {
        let mut defaults: BTreeMap<String, String> =
            SETTINGS.iter().map(|setting| (setting.name.to_owned(), setting.default.to_owned())).collect();
        let mut resolved = Resolved::new(base);
        for setting in SETTINGS {
            (setting.apply)(setting.default, &mut resolved)
                .map_err(|accepted| Error::internal(format!("default of {}: {accepted}", setting.name)))?;
        }
        for option in engine_option::names() {
            defaults.insert(option.to_owned(), engine_option::value(option, resolved.config.options()));
        }
        for (name, value) in configured {
            let name = canonical(name)?;
            apply(&name, value, &mut resolved)?;
            defaults.insert(name, value.clone());
        }
        let (changed, unproven) = (BTreeMap::new(), Unproven::default());
        Ok(Self { defaults: Arc::new(defaults), changed, resolved: Arc::new(resolved), unproven })
    }

    /// The typed values.
    pub(crate) fn resolved(&self) -> &Arc<Resolved> {
        &self.resolved
    }

    /// Sets one value; on an error nothing changes.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let name = canonical(name)?;
        let mut resolved = Resolved::clone(&self.resolved);
        apply(&name, value, &mut resolved)?;
        self.resolved = Arc::new(resolved);
        self.unproven.catalog |= name == catalog::SETTING.name;
        self.unproven.schema |= name == schema::SETTING.name;
        self.changed.insert(name, value.to_owned());
        Ok(())
    }

    /// Looks up the catalog and the schema that were set: once both are, because one is found in the other.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(crate) fn prove(&mut self, catalogs: &Catalogs) -> Result<()> {
        let Resolved { catalog, schema, .. } = self.resolved.as_ref();
        match std::mem::take(&mut self.unproven) {
            Unproven { schema: true, .. } => catalogs.require(catalog, Some(schema)),
            Unproven { catalog: true, .. } => catalogs.require(catalog, None),
            Unproven { catalog: false, schema: false } => Ok(()),
        }
    }

    /// Takes one value back to the server's default.
    pub(crate) fn reset(&mut self, name: &str) -> Result<()> {
        let name = canonical(name)?;
        let default = self.defaults.get(&name).cloned().unwrap_or_default();
        let mut resolved = Resolved::clone(&self.resolved);
        apply(&name, &default, &mut resolved)?;
        self.resolved = Arc::new(resolved);
        self.changed.remove(&name);
        Ok(())
    }

    /// Takes all values back to the server's defaults.
    pub(crate) fn reset_all(&mut self) -> Result<()> {
        let names: Vec<String> = self.changed.keys().cloned().collect();
        names.iter().try_for_each(|name| self.reset(name))
    }

    /// One value as text.
    pub(crate) fn get(&self, name: &str) -> Result<String> {
        let name = canonical(name)?;
        Ok(self.changed.get(&name).or_else(|| self.defaults.get(&name)).cloned().unwrap_or_default())
    }

    /// What differs from the server's defaults.
    pub(crate) fn changed(&self) -> &BTreeMap<String, String> {
        &self.changed
    }

    /// Names and values of the settings that the answer of a statement may depend on.
    pub(crate) fn of_results(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.defaults.iter().map(|(name, default)| (name, self.changed.get(name).unwrap_or(default)));
        all.filter(|(name, _)| !NOT_OF_RESULTS.contains(&name.as_str()))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All settings with their values.
    pub(crate) fn list(&self) -> Vec<SettingInfo> {
        let own = SETTINGS.iter().map(|setting| (setting.name, setting.kind, setting.doc.to_owned(), setting.aliases));
        let options = engine_option::names().map(|name| (name, engine_option::KIND, engine_option::doc(name), &[][..]));
        let mut list: Vec<SettingInfo> = own
            .chain(options)
            .map(|(name, kind, description, aliases)| {
                let default = self.defaults.get(name).cloned().unwrap_or_default();
                SettingInfo {
                    name: name.to_owned(),
                    aliases,
                    value: self.changed.get(name).cloned().unwrap_or_else(|| default.clone()),
                    default,
                    kind: kind.to_owned(),
                    description,
                }
            })
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }
}

/// The names of all settings.
pub fn setting_names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.name).chain(engine_option::names())
}

/// The setting's own name for what the client wrote, in any case and by any alias.
fn canonical(name: &str) -> Result<String> {
    let wanted = name.trim().to_ascii_lowercase();
    for setting in SETTINGS {
        if setting.name == wanted || setting.aliases.contains(&wanted.as_str()) {
            return Ok(setting.name.to_owned());
        }
    }
    if engine_option::names().any(|option| option == wanted) {
        return Ok(wanted);
    }
    Err(Error::not_found(Subject::Setting, format!("setting '{name}' not found"))
        .suggest(closest(&wanted, setting_names()))
        .hint("SHOW ALL lists all settings"))
}

fn apply(name: &str, value: &str, resolved: &mut Resolved) -> Result<()> {
    let outcome = match SETTINGS.iter().find(|setting| setting.name == name) {
        Some(setting) => (setting.apply)(value.trim(), resolved),
        None => engine_option::apply(name, value.trim(), resolved),
    };
    outcome.map_err(|accepted| {
        Error::invalid(format!("'{value}' is not a value for setting '{name}': {accepted}")).about(Subject::Setting)
    })
}

/// `on`, `off` and the other words for a truth value.
fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("accepted are on and off".to_owned()),
    }
}

/// A whole number within bounds.
fn integer(text: &str, low: u64, high: u64) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("accepted are whole numbers from {low} to {high}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new(SessionConfig::new(), &BTreeMap::new()).unwrap()
    }

    #[test]
    fn a_bad_value_names_the_setting_and_what_is_accepted_and_changes_nothing() {
        let mut settings = settings();
        let error = settings.set("priority", "urgent").unwrap_err();
        assert_eq!(error.code(), "INVALID_SETTING");
        assert!(error.message().contains("'urgent'") && error.message().contains("'priority'"), "{error}");
        assert!(error.message().contains("low, normal, high"), "{error}");
        assert_eq!(settings.get("priority").unwrap(), "normal");
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let error = settings().set("time_zon", "UTC").unwrap_err();
        assert_eq!(error.suggestions(), ["time_zone"]);
    }

    #[test]
    fn reset_returns_to_the_configured_default() {
        let configured = BTreeMap::from([("statement_timeout".to_owned(), "5m".to_owned())]);
        let mut settings = Settings::new(SessionConfig::new(), &configured).unwrap();
        settings.set("STATEMENT_TIMEOUT", "1s").unwrap();
        assert_eq!(settings.resolved().statement_timeout.unwrap().as_secs(), 1);
        settings.reset("statement_timeout").unwrap();
        assert_eq!(settings.resolved().statement_timeout.unwrap().as_secs(), 300);
        assert!(settings.changed().is_empty());
    }

    #[test]
    fn only_whitelisted_options_of_the_engine_below_can_be_set() {
        let mut settings = settings();
        settings.set("datafusion.optimizer.prefer_hash_join", "false").unwrap();
        assert!(!settings.resolved().config.options().optimizer.prefer_hash_join);
        assert!(settings.set("datafusion.optimizer.prefer_hash_join", "maybe").is_err());
        assert_eq!(
            settings.set("datafusion.execution.spill_compression", "zstd").unwrap_err().code(),
            "SETTING_NOT_FOUND"
        );
    }

    #[test]
    fn every_setting_says_what_it_is() {
        for info in settings().list() {
            assert!(!info.description.is_empty() && !info.kind.is_empty(), "{}", info.name);
        }
    }
}
