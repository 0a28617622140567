//! `/v1/config`: what the server was told, who told it, and what can be told anew while it runs.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemill_engine::{Error, ErrorKind, Subject};
use utoipa::ToSchema;

use super::catalogs::Search;
use super::openapi::Failures;
use crate::configuration::ConfigEntry;
use crate::http::body::{JsonBody, setting_text};
use crate::http::client::Client;
use crate::http::door::Door;
use crate::http::path::PathParams;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;

/// The configuration in effect.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfigList {
    /// Keys that are set, in order.
    entries: Vec<ConfigEntry>,
}

/// What a key is to be set to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewValue {
    /// The value: text as in the environment, a number or a boolean.
    #[schema(value_type = Value, example = 32)]
    value: Option<Value>,
}

/// A key that was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfigChange {
    #[serde(flatten)]
    entry: ConfigEntry,
    /// The value before.
    previous: Value,
    /// Whether the change survives a restart: it does not.
    durable: bool,
    /// What to do to keep it.
    note: &'static str,
}

const NOTE: &str = "the value holds until the server stops; to keep it, write it into the configuration file too";

/// List the configuration in effect, with the layer that set each value. For admins.
///
/// Secrets are masked. The files that were read when the server started are not read again.
#[utoipa::path(get, path = "/v1/config", tag = "server", params(Search),
    responses((status = 200, description = "Keys that are set", body = ConfigList), Failures))]
pub(crate) async fn list(
    State(door): State<Door>,
    QueryString(search): QueryString<Search>,
    client: Client,
) -> Result<Json<ConfigList>, Problem> {
    check_admin(&client)?;
    let mut entries = door.configuration.entries();
    entries.retain(|entry| search.finds(&entry.key));
    Ok(Json(ConfigList { entries }))
}

/// Look at a key of the configuration. For admins.
#[utoipa::path(get, path = "/v1/config/{key}", tag = "server",
    params(("key" = String, Path, description = "The key, such as `admission.max_running`")),
    responses((status = 200, description = "The key, set or not", body = ConfigEntry), Failures))]
pub(crate) async fn get(
    State(door): State<Door>,
    PathParams(key): PathParams<String>,
    client: Client,
) -> Result<Json<ConfigEntry>, Problem> {
    check_admin(&client)?;
    Ok(Json(door.configuration.entry(&key).map_err(|error| client.path_problem(&error))?))
}

/// Change a key while the server runs. For admins.
///
/// The change does not survive a restart. Keys that are read only when the server starts answer 409 `RESTART_REQUIRED`.
#[utoipa::path(put, path = "/v1/config/{key}", tag = "server",
    params(("key" = String, Path, description = "The key, such as `admission.max_running`")),
    request_body = NewValue,
    responses(
        (status = 200, description = "The key, changed until the server stops", body = ConfigChange),
        (status = 409, description = "A running server does not take another value", body = Problem, content_type = "application/problem+json"),
        Failures,
    ))]
pub(crate) async fn change(
    State(door): State<Door>,
    PathParams(key): PathParams<String>,
    client: Client,
    JsonBody(body): JsonBody<NewValue>,
) -> Result<Json<ConfigChange>, Problem> {
    check_admin(&client)?;
    let before = door.configuration.entry(&key).map_err(|error| client.path_problem(&error))?;
    if !before.changeable {
        return Err(restart_required(&key, &client));
    }
    let none = || Error::invalid("the body holds no value").about(Subject::Setting).hint("send {\"value\": ...}");
    let value = body.value.ok_or_else(none).and_then(|value| setting_text(&key, &value));
    let value = value.map_err(|error| client.problem(&error))?;
    let changed = door.configuration.change(&key, &value, client.principal.name());
    let entry = changed.map_err(|error| client.problem(&error))?;
    Ok(Json(ConfigChange { entry, previous: before.value, durable: false, note: NOTE }))
}

fn check_admin(client: &Client) -> Result<(), Box<Problem>> {
    if client.principal.may_administer() {
        return Ok(());
    }
    let message = format!("principal '{}' may not see the configuration", client.principal.name());
    let error = Error::new(ErrorKind::Forbidden, message).hint("ask an administrator");
    Err(Box::new(client.path_problem(&error)))
}

fn restart_required(key: &str, client: &Client) -> Problem {
    let detail = format!("{key} is read only when the server starts");
    Problem {
        hint: Some("write it into the configuration file and restart the server".to_owned()),
        ..Problem::new(StatusCode::CONFLICT, "RESTART_REQUIRED", detail).traced(client.trace_id().as_deref())
    }
}
