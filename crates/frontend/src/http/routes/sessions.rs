//! `/v1/sessions`: settings, prepared statements and temporary views that outlive a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemill_engine::session::SessionInfo;
use tidemill_engine::{Error, Session};
use utoipa::ToSchema;

use crate::http::body::{JsonBody, setting_text};
use crate::http::client::Client;
use crate::http::documents::{SessionPage, SessionStatus};
use crate::http::door::Door;
use crate::http::path::PathParams;
use crate::http::problem::Problem;
use crate::http::routes::openapi::Failures;

/// What a new session begins with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewSession {
    /// The catalog of names without one.
    catalog: Option<String>,
    /// The schema of names without one.
    schema: Option<String>,
    /// Settings, as `SET` takes them.
    #[schema(value_type = Object)]
    settings: BTreeMap<String, Value>,
}

/// What is to change in a session.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionChange {
    /// Settings, as `SET` takes them; `null` takes one back to its default. All are changed, or none.
    #[schema(value_type = Object)]
    settings: BTreeMap<String, Value>,
}

/// Open sessions.
#[derive(Debug, Serialize)]
pub(crate) struct SessionList {
    sessions: Vec<SessionInfo>,
}

/// Open a session.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", request_body = NewSession,
    responses(
        (status = 201, description = "It is open; `Location` says where", body = SessionStatus),
        Failures,
    ))]
pub(crate) async fn open(
    State(door): State<Door>,
    client: Client,
    JsonBody(body): JsonBody<NewSession>,
) -> Result<Response, Problem> {
    let sessions = door.engine.sessions();
    let session = sessions.open(&door.engine, client.principal.clone()).map_err(|error| client.problem(&error))?;
    let named = [("catalog", body.catalog), ("schema", body.schema)];
    let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))));
    let settings = named.chain(body.settings).collect();
    if let Err(error) = change_settings(&session, &settings) {
        // Nobody else knows of it yet; that it can not be closed can only mean that it is.
        let _ = sessions.close(&client.principal, session.id());
        return Err(client.problem(&error));
    }
    let location = format!("/v1/sessions/{}", session.id());
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(session.info())).into_response())
}

/// List open sessions: one's own; all, for an admin.
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions",
    responses(
        (status = 200, description = "Open sessions, oldest first", body = SessionPage),
        Failures,
    ))]
pub(crate) async fn list(State(door): State<Door>, client: Client) -> Json<SessionList> {
    Json(SessionList { sessions: door.engine.sessions().list(&client.principal) })
}

/// Look at a session.
#[utoipa::path(get, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The session", body = SessionStatus),
        Failures,
    ))]
pub(crate) async fn get(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
) -> Result<Json<SessionInfo>, Problem> {
    Ok(Json(find(&door, &client, &id)?.info()))
}

/// Change settings of a session.
#[utoipa::path(patch, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session's id")),
    request_body = SessionChange,
    responses(
        (status = 200, description = "The session, changed", body = SessionStatus),
        Failures,
    ))]
pub(crate) async fn change(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
    JsonBody(body): JsonBody<SessionChange>,
) -> Result<Json<SessionInfo>, Problem> {
    let session = find(&door, &client, &id)?;
    change_settings(&session, &body.settings).map_err(|error| client.problem(&error))?;
    Ok(Json(session.info()))
}

/// Keep an idle session open.
#[utoipa::path(post, path = "/v1/sessions/{id}/heartbeat", tag = "sessions", params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "The session, with the time at which it closes unless it is used", body = SessionStatus),
        Failures,
    ))]
pub(crate) async fn heartbeat(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
) -> Result<Json<SessionInfo>, Problem> {
    Ok(Json(find(&door, &client, &id)?.info()))
}

/// Close a session and cancel its queries.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 204, description = "It is closed"),
        Failures,
    ))]
pub(crate) async fn close(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
) -> Result<StatusCode, Problem> {
    door.engine.sessions().close(&client.principal, &id).map_err(|error| client.path_problem(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn find(door: &Door, client: &Client, id: &str) -> Result<Arc<Session>, Box<Problem>> {
    let found = door.engine.sessions().get(&client.principal, id);
    found.map_err(|error| Box::new(client.path_problem(&error)))
}

/// Changes all settings or, on an error, none.
fn change_settings(session: &Session, settings: &BTreeMap<String, Value>) -> Result<(), Error> {
    let text = |(name, value): (&String, &Value)| match value {
        Value::Null => Ok((name.clone(), None)),
        value => setting_text(name, value).map(|text| (name.clone(), Some(text))),
    };
    let changes = settings.iter().map(text).collect::<Result<Vec<_>, Error>>()?;
    session.change(changes.iter().map(|(name, value)| (name.as_str(), value.as_deref())))
}
