//! References to secrets: `env:NAME` and `file:PATH` in place of the value.

use toml::Value;

use super::reference::Known;
use super::{Key, Problem, Problems, Reference, Sources};

/// What a printed configuration shows in place of a secret; a reference is not one, and is shown.
pub(crate) fn mask(key: &Key, value: &Value) -> Value {
    map(key, value, &mut |_, text| Some(if is_reference(text) { text.to_owned() } else { "***".to_owned() }))
}

/// The value with each reference replaced by what it refers to.
pub(crate) fn resolve(key: &Key, value: &Value, sources: &Sources, problems: &mut Problems) -> Value {
    map(key, value, &mut |key, text| match fetch(text, sources) {
        Ok(secret) => Some(secret),
        Err(message) => {
            problems.push(Problem::with_key(key.clone(), None, message));
            None
        }
    })
}

fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

fn fetch(text: &str, sources: &Sources) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("env:") {
        let value = sources.environment.get(name).filter(|value| !value.is_empty());
        return value.cloned().ok_or_else(|| format!("environment variable {name} is not set"));
    }
    let Some(path) = text.strip_prefix("file:") else { return Ok(text.to_owned()) };
    match std::fs::read_to_string(path) {
        Ok(content) => Ok(content.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(format!("cannot read {path}: {error}")),
    }
}

/// Replaces the text of each secret at or below `key`; `None` keeps it.
fn map(key: &Key, value: &Value, replace: &mut impl FnMut(&Key, &str) -> Option<String>) -> Value {
    match value {
        Value::Table(table) => {
            let entries = table.iter().map(|(name, value)| (name.clone(), map(&key.child(name), value, replace)));
            Value::Table(entries.collect())
        }
        Value::Array(items) => {
            Value::Array(items.iter().enumerate().map(|(at, item)| map(&key.element(at), item, replace)).collect())
        }
        Value::String(text) => match Reference::get().find(key) {
            Known::Entry(entry) if entry.is_secret() => {
                Value::String(replace(key, text).unwrap_or_else(|| text.clone()))
            }
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}
