//! `/v1/queries`: queries as resources, past and present.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use axum::Json;
use axum::extract::State;
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidemill_engine::query::{HistoryFilter, Profile, Stages};
use tidemill_engine::{Error, QueryId, QueryInfo, QueryRequest, QueryState, Session, Subject};
use utoipa::IntoParams;

use crate::http::cache;
use crate::http::client::{self, Client};
use crate::http::documents::{PlanText, ProfileText, QueryPage, QueryStages, QueryStatus};
use crate::http::door::Door;
use crate::http::encode::ColumnInfo;
use crate::http::path::PathParams;
use crate::http::problem::{self, Problem};
use crate::http::query_string::QueryString;
use crate::http::respond::{self, Wanted};
use crate::http::routes::openapi::Failures;

mod events;
pub(crate) mod logs;
pub(crate) mod result;

/// Queries of one page, unless `limit` says otherwise.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// A query, with the places where there is more of it.
#[derive(Debug, Serialize)]
pub(crate) struct StatusDocument {
    #[serde(flatten)]
    info: Map<String, Value>,
    links: Links,
}

/// Paths on this server.
#[derive(Debug, Serialize)]
struct Links {
    #[serde(rename = "self")]
    own: String,
    result: String,
    plan: String,
    profile: String,
    stages: String,
    logs: String,
}

impl StatusDocument {
    /// The query as this door tells of it.
    fn new(door: &Door, mut info: QueryInfo) -> Self {
        let results = door.engine.results();
        // History remembers also what was deleted since, or has expired.
        info.result = info.result.filter(|_| results.info(info.id).is_some());
        let schema = results.schema(info.id);
        Self::of(info, schema.as_deref())
    }

    /// The query with the columns of its kept result.
    pub(crate) fn of(mut info: QueryInfo, schema: Option<&Schema>) -> Self {
        if let Some(error) = &mut info.error {
            problem::conceal(error);
        }
        let own = path(info.id);
        // Plain data, which always is a JSON object.
        let mut info = match serde_json::to_value(info) {
            Ok(Value::Object(info)) => info,
            _ => Map::new(),
        };
        if let Some(Value::Object(result)) = info.get_mut("result") {
            let columns = schema.map(ColumnInfo::all);
            result.insert("schema".to_owned(), serde_json::to_value(columns).unwrap_or_default());
        }
        let links = Links {
            result: format!("{own}/result"),
            plan: format!("{own}/plan"),
            profile: format!("{own}/profile"),
            stages: format!("{own}/stages"),
            logs: format!("{own}/logs"),
            own,
        };
        Self { info, links }
    }
}

/// A page of queries.
#[derive(Debug, Serialize)]
pub(crate) struct QueryList {
    queries: Vec<StatusDocument>,
    next_cursor: Option<QueryId>,
}

/// Which queries to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Only those in one of these states, separated by commas.
    state: Option<String>,
    /// Only those of this user.
    user: Option<String>,
    /// Only those that arrived at this time or later, by RFC 3339.
    since: Option<DateTime<Utc>>,
    /// At most this many, from 1 to 1000; by default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ListParams {
    fn filter(&self) -> Result<HistoryFilter, Error> {
        let bad = |message: String| Error::invalid(message).about(Subject::Parameter);
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(bad(format!("limit is {limit}, not between 1 and {MAX_LIMIT}")));
        }
        let state = |name: &str| {
            QueryState::from_name(name.trim()).ok_or_else(|| {
                let names = QueryState::ALL.map(QueryState::name).join(", ");
                bad(format!("'{name}' is not a state of queries")).hint(format!("use one or more of {names}"))
            })
        };
        let states = self.state.iter().flat_map(|names| names.split(',')).map(state).collect::<Result<_, _>>()?;
        let before = self.cursor.as_deref().map(str::parse).transpose();
        let before = before.map_err(|_| bad("cursor is not the next_cursor of a page".to_owned()))?;
        Ok(HistoryFilter { states, principal: self.user.clone(), since: self.since, before, limit })
    }
}

/// How to look at a query.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct GetParams {
    /// Answer when the state changes or after this time, such as `30s`.
    #[param(example = "30s")]
    wait: Option<String>,
}

/// List queries, newest first: one's own; all, for an admin.
#[utoipa::path(get, path = "/v1/queries", tag = "queries", params(ListParams),
    responses(
        (status = 200, description = "A page of queries", body = QueryPage),
        Failures,
    ))]
pub(crate) async fn list(
    State(door): State<Door>,
    QueryString(params): QueryString<ListParams>,
    client: Client,
) -> Result<Json<QueryList>, Problem> {
    let fail = |error: Error| client.path_problem(&error);
    let filter = params.filter().map_err(fail)?;
    let infos = door.engine.queries().list(&client.principal, &filter).await.map_err(fail)?;
    let next_cursor = infos.last().filter(|_| infos.len() == filter.limit).map(|info| info.id);
    let queries = infos.into_iter().map(|info| StatusDocument::new(&door, info)).collect();
    Ok(Json(QueryList { queries, next_cursor }))
}

/// Look at a query.
///
/// With `Accept: text/event-stream` as server-sent events: `progress` about twice a second and when the state changes, and at
/// last `end`. Between them, a `stage` for every stage and a `task` for every task that is in another state than was told.
#[utoipa::path(get, path = "/v1/queries/{id}", tag = "queries",
    params(("id" = String, Path, description = "The query's id"), GetParams),
    responses(
        (status = 200, description = "The query now", content((QueryStatus = "application/json"), (String = "text/event-stream"))),
        Failures,
    ))]
pub(crate) async fn get(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    QueryString(params): QueryString<GetParams>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse(&id, &client)?;
    let info = find(&door, &client, id).await?;
    if respond::accepts(&headers, "text/event-stream") {
        return Ok(events::stream(door, client, info));
    }
    let wait = params.wait.as_deref().map(client::wait).transpose().map_err(|error| client.path_problem(&error))?;
    let Some(wait) = wait.filter(|_| !info.state.is_final()) else { return Ok(document(&door, StatusCode::OK, info)) };
    if let Some(handle) = door.engine.queries().living(&client.principal, id) {
        client.patience(wait.min(door.config.max_wait.0), handle.changed(info.state)).await;
    }
    Ok(document(&door, StatusCode::OK, find(&door, &client, id).await?))
}

/// Cancel a query.
///
/// A query that has ended stays as it ended.
#[utoipa::path(delete, path = "/v1/queries/{id}", tag = "queries", params(("id" = String, Path, description = "The query's id")),
    responses(
        (status = 200, description = "It had ended already", body = QueryStatus),
        (status = 202, description = "It will end in a moment", body = QueryStatus),
        Failures,
    ))]
pub(crate) async fn cancel(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
) -> Result<Response, Problem> {
    let id = parse(&id, &client)?;
    let reason = format!("by {} over HTTP", client.principal.name());
    let state = door.engine.queries().cancel(&client.principal, id, &reason).await;
    let state = state.map_err(|error| client.path_problem(&error))?;
    let status = if state.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(document(&door, status, find(&door, &client, id).await?))
}

/// The plans of a query, as text or as JSON.
#[utoipa::path(get, path = "/v1/queries/{id}/plan", tag = "queries", params(("id" = String, Path, description = "The query's id")),
    responses(
        (status = 200, description = "The logical and the physical plan", content((String = "text/plain"), (PlanText = "application/json"))),
        Failures,
    ))]
pub(crate) async fn plan(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let plan = profile_of(&door, &client, &id).await?.plan;
    Ok(if respond::accepts(&headers, "application/json") {
        Json(serde_json::json!({ "plan": plan })).into_response()
    } else {
        plan.into_response()
    })
}

/// The plan of a query with what its operators did, as text or as JSON.
#[utoipa::path(get, path = "/v1/queries/{id}/profile", tag = "queries", params(("id" = String, Path, description = "The query's id")),
    responses(
        (status = 200, description = "The physical plan with metrics", content((String = "text/plain"), (ProfileText = "application/json"))),
        Failures,
    ))]
pub(crate) async fn profile(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let profile = profile_of(&door, &client, &id).await?;
    Ok(if respond::accepts(&headers, "application/json") {
        Json(profile).into_response()
    } else {
        profile.profile.into_response()
    })
}

/// The stages of a query and their tasks.
///
/// A stage is the part of a plan between two exchanges; a task computes one of its partitions.
#[utoipa::path(get, path = "/v1/queries/{id}/stages", tag = "queries", params(("id" = String, Path, description = "The query's id")),
    responses((status = 200, description = "Stages and tasks, now or at the end", body = QueryStages), Failures))]
pub(crate) async fn stages(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
) -> Result<Json<Arc<Stages>>, Problem> {
    let id = parse(&id, &client)?;
    let stages = door.engine.queries().stages(&client.principal, id).await;
    stages.map(Json).map_err(|error| client.path_problem(&error))
}

/// How long a client waits for the end of its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all: it is told where to look, even if the query has ended by then.
    No,
    /// If it takes longer, it is told where to look.
    AtMost(Duration),
    ToTheEnd,
}

impl Wait {
    /// What a request asks for.
    pub(crate) fn of(respond_async: bool, limit: Option<Duration>) -> Self {
        match limit {
            Some(limit) => Self::AtMost(limit),
            None if respond_async => Self::No,
            None => Self::ToTheEnd,
        }
    }
}

/// Runs a statement in the background, and answers with its result if the client waits for it.
pub(crate) async fn submit(
    door: &Door,
    session: &Arc<Session>,
    request: QueryRequest,
    wanted: &Wanted,
    client: &Client,
    wait: Wait,
) -> Result<Response, Problem> {
    let query = door.engine.submit(session, request).map_err(|error| client.problem(&error))?;
    answer(door, query.id(), wanted, client, wait).await
}

/// The answer of a query that runs in the background: its result or its failure if the client waits for it, else where to
/// look.
pub(crate) async fn answer(
    door: &Door,
    id: QueryId,
    wanted: &Wanted,
    client: &Client,
    wait: Wait,
) -> Result<Response, Problem> {
    let mut cached = None;
    if wait == Wait::No {
        return Ok(accepted(door, find(door, client, id).await?));
    }
    if let Some(handle) = door.engine.queries().living(&client.principal, id) {
        match wait {
            Wait::AtMost(limit) => client.patience(limit.min(door.config.max_wait.0), handle.ended()).await,
            Wait::No | Wait::ToTheEnd => handle.ended().await,
        }
        if let Some(error) = handle.error() {
            return Err(client.problem(&error));
        }
        if !handle.state().is_final() {
            return Ok(accepted(door, handle.info()));
        }
        cached = handle.cached();
    }
    let mut response = result::of_query(door, id, wanted, client).await?;
    if let Some(cached) = cached {
        cache::status(response.headers_mut(), cached.status);
    }
    Ok(response)
}

fn accepted(door: &Door, info: QueryInfo) -> Response {
    let location = path(info.id);
    let headers: [(HeaderName, String); 2] = [(LOCATION, location), (RETRY_AFTER, "1".to_owned())];
    (headers, document(door, StatusCode::ACCEPTED, info)).into_response()
}

fn document(door: &Door, status: StatusCode, info: QueryInfo) -> Response {
    let id = info.id;
    let mut response = (status, Json(StatusDocument::new(door, info))).into_response();
    respond::mark(response.headers_mut(), id);
    response
}

fn path(id: QueryId) -> String {
    format!("/v1/queries/{id}")
}

fn parse(id: &str, client: &Client) -> Result<QueryId, Box<Problem>> {
    id.parse().map_err(|error| Box::new(client.path_problem(&error)))
}

async fn find(door: &Door, client: &Client, id: QueryId) -> Result<QueryInfo, Problem> {
    door.engine.queries().get(&client.principal, id).await.map_err(|error| client.path_problem(&error))
}

async fn profile_of(door: &Door, client: &Client, id: &str) -> Result<Profile, Problem> {
    let id = parse(id, client)?;
    door.engine.queries().profile(&client.principal, id).await.map_err(|error| client.path_problem(&error))
}
