//! What the environment says where the configuration is silent: AWS's own variables and the user's data folder.

use toml::Value;

use super::{Effective, Key, Origin, Sources};

/// Variables by the key that they stand in for; the first that is set counts.
const S3: [(&str, &[&str]); 2] = [
    ("endpoint", &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]),
    ("region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
];

/// Variables that only mean something together.
const CREDENTIALS: [(&str, &str); 3] = [
    ("access_key_id", "AWS_ACCESS_KEY_ID"),
    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("session_token", "AWS_SESSION_TOKEN"),
];

/// Fills in what no layer has set.
pub(crate) fn fill(effective: &mut Effective, sources: &Sources) {
    let s3 = Key::default().child("storage").child("s3");
    let variable = |name: &str| sources.environment.get(name).filter(|value| !value.is_empty()).cloned();
    for (name, variables) in S3 {
        if let Some((from, value)) = variables.iter().find_map(|from| Some((from, variable(from)?))) {
            effective.fill(&s3.child(name), Value::String(value), Origin::Environment((*from).to_owned()));
        }
    }
    if let Some(allow) = variable("AWS_ALLOW_HTTP") {
        let allow = Value::Boolean(allow.eq_ignore_ascii_case("true") || allow == "1");
        effective.fill(&s3.child("allow_http"), allow, Origin::Environment("AWS_ALLOW_HTTP".to_owned()));
    }
    // Half of the credentials from here and half from there would sign with a key that does not exist.
    if CREDENTIALS.iter().all(|(name, _)| effective.get(&s3.child(name)).is_none()) {
        for (name, from) in CREDENTIALS {
            if let Some(value) = variable(from) {
                effective.fill(&s3.child(name), Value::String(value), Origin::Environment(from.to_owned()));
            }
        }
    }
    let data_dir = Key::default().child("server").child("data_dir");
    for (from, below) in [("XDG_DATA_HOME", "tidemill"), ("HOME", ".local/share/tidemill")] {
        if let Some(folder) = variable(from).filter(|folder| folder.starts_with('/')) {
            let path = format!("{}/{below}", folder.trim_end_matches('/'));
            effective.fill(&data_dir, Value::String(path), Origin::Environment(from.to_owned()));
        }
    }
}
