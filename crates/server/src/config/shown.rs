//! The configuration as a running server shows it: values as JSON, and nothing that could be a credential.

use serde_json::{Map, Value as Json};
use tidemill_frontend::configuration::ConfigEntry;
use toml::Value;
use url::Url;

use super::live::is_changeable;
use super::reference::Entry;
use super::{Effective, Key, secrets};

/// What stands in the place of a credential.
const MASK: &str = "***";

/// The key with its manual, its value and who set it.
pub(super) fn entry(key: &Key, manual: &Entry, effective: &Effective) -> ConfigEntry {
    ConfigEntry {
        key: key.to_string(),
        value: effective.get(key).map_or(Json::Null, |value| value_of(key, value)),
        origin: effective.origin(key).map(ToString::to_string),
        default: if manual.is_default { json(&manual.value) } else { Json::Null },
        description: manual.doc.clone(),
        accepts: manual.accepts.clone(),
        changeable: is_changeable(key),
    }
}

fn value_of(key: &Key, value: &Value) -> Json {
    // Options of a format may be the credentials of its store.
    if key.parent().name() == "options" && !value.is_table() {
        return Json::from(MASK);
    }
    json(&secrets::mask(key, value))
}

fn json(value: &Value) -> Json {
    match value {
        Value::String(text) => Json::from(without_credentials(text)),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Boolean(truth) => Json::from(*truth),
        Value::Datetime(moment) => Json::from(moment.to_string()),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Table(table) => {
            Json::Object(table.iter().map(|(name, value)| (name.clone(), json(value))).collect::<Map<_, _>>())
        }
    }
}

/// A URL may hold a password, or a signature in its query.
fn without_credentials(text: &str) -> String {
    if !text.contains("://") {
        return text.to_owned();
    }
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() || url.query().is_some() => {
            let password = url.password().map(|_| MASK);
            let query = url.query().map(|_| MASK);
            // Only a URL without a host has no room for a password, and it had one.
            let _ = url.set_password(password);
            url.set_query(query);
            url.to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_urls_are_masked_and_other_text_is_not_touched() {
        for (text, shown) in [
            ("https://ann:secret@host/a.csv", "https://ann:***@host/a.csv"),
            ("https://host/a.csv?X-Amz-Signature=abc", "https://host/a.csv?***"),
            ("s3://lake/sales/", "s3://lake/sales/"),
            ("file:///", "file:///"),
            ("/data/*.parquet?", "/data/*.parquet?"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }

    #[test]
    fn options_of_formats_are_masked() {
        let key = "catalogs.lake.schemas.s.tables.t.options.\"aws.secret\"".parse().unwrap();
        assert_eq!(value_of(&key, &Value::String("hunter2".to_owned())), MASK);
    }
}
