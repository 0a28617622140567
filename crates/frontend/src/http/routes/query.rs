//! `/v1/query`: one statement, its result in the response.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tidemill_engine::{QueryRequest, Session};
use utoipa::{IntoParams, ToSchema};

use crate::http::body::QueryBody;
use crate::http::cache::Cache;
use crate::http::client::Client;
use crate::http::documents::QueryStatus;
use crate::http::door::Door;
use crate::http::idempotency;
use crate::http::negotiate::{Codec, FormatOptions, Header, NegotiationError, NotANumber, Numbers, Rows};
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::respond::etag::EntityTag;
use crate::http::respond::{self, Wanted};
use crate::http::routes::openapi::{Failures, Rows as RowsResponse, StatementFailures};
use crate::http::routes::queries::{self, Wait};
use crate::http::routes::validate;

/// How a response is wanted, in the URL of a POST, and what a body can not say that is SQL or a plan alone.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResultParams {
    /// The catalog of names without one; what a JSON body says wins, here and below.
    catalog: Option<String>,
    /// The schema of names without one.
    schema: Option<String>,
    /// The session to run in; without one, the request has a session of its own.
    session_id: Option<String>,
    /// The result ends after this many rows.
    row_limit: Option<u64>,
    /// A result with more bytes (as Arrow in memory) is an error.
    byte_limit: Option<u64>,
    /// Deadline in milliseconds for queueing, planning, running and fetching together.
    timeout_ms: Option<u64>,
    /// The format by name; wins over `Accept`.
    format: Option<String>,
    /// Send the result as a file to save.
    download: bool,
    /// What a row of a JSON document is.
    rows: Option<Rows>,
    /// How integers of 64 bits are written in JSON.
    numbers: Option<Numbers>,
    /// How `NaN` and the infinities are written in JSON.
    nan: Option<NotANumber>,
    /// Whether CSV, TSV and NDJSON begin with the columns; by default CSV and TSV do.
    header: Option<Header>,
    /// Compression of the buffers inside Arrow IPC.
    codec: Option<Codec>,
}

impl ResultParams {
    /// The body with what it leaves open.
    fn complete(&self, body: QueryBody) -> QueryBody {
        QueryBody {
            catalog: body.catalog.or_else(|| self.catalog.clone()),
            schema: body.schema.or_else(|| self.schema.clone()),
            session_id: body.session_id.or_else(|| self.session_id.clone()),
            row_limit: body.row_limit.or(self.row_limit),
            byte_limit: body.byte_limit.or(self.byte_limit),
            timeout_ms: body.timeout_ms.or(self.timeout_ms),
            ..body
        }
    }

    pub(crate) fn wanted(&self, body: &QueryBody, headers: &HeaderMap) -> Result<Wanted, NegotiationError> {
        let own = FormatOptions {
            rows: self.rows,
            numbers: self.numbers,
            nan: self.nan,
            header: self.header,
            codec: self.codec,
        };
        let options = body.format_options.unwrap_or_default().or(own);
        let name = body.format.as_deref().or(self.format.as_deref());
        Wanted::new(name, headers, options, self.download)
    }
}

/// A read-only statement in a URL.
#[derive(Debug, Clone, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct GetParams {
    /// The text of one statement that reads.
    sql: String,
    /// The catalog of names without one.
    catalog: Option<String>,
    /// The schema of names without one.
    schema: Option<String>,
    /// The result ends after this many rows.
    row_limit: Option<u64>,
    /// Deadline in milliseconds.
    timeout_ms: Option<u64>,
    /// Whether an answer that is known already will do; by default what the setting `result_cache` says.
    cache: Option<Cache>,
    /// An answer from the cache may be this old, in milliseconds, although the data may have changed since; 0 by default.
    max_staleness_ms: u64,
    /// The format by name; wins over `Accept`.
    format: Option<String>,
    /// Send the result as a file to save.
    download: bool,
    /// What a row of a JSON document is.
    rows: Option<Rows>,
    /// How integers of 64 bits are written in JSON.
    numbers: Option<Numbers>,
    /// How `NaN` and the infinities are written in JSON.
    nan: Option<NotANumber>,
    /// Whether CSV, TSV and NDJSON begin with the columns; by default CSV and TSV do.
    header: Option<Header>,
    /// Compression of the buffers inside Arrow IPC.
    codec: Option<Codec>,
}

/// A `substrait.Plan` as protobuf: a dataframe in the place of SQL.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it is described, and read as bytes")]
pub(crate) struct Plan(Vec<u8>);

/// Run a statement.
#[utoipa::path(post, path = "/v1/query", tag = "query",
    params(ResultParams,
        ("Prefer" = Option<String>, Header, description = "`respond-async`: 202 at once, whatever becomes of the query; `wait=10`: seconds to wait for the result before that"),
        ("Idempotency-Key" = Option<String>, Header, description = "Requests with the same key run once"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that the client has; 304 if it is still the answer"),
        ("X-Query-Id" = Option<String>, Header, description = "The query's id, a new UUID of version 7"),
        ("traceparent" = Option<String>, Header, description = "The W3C trace that the request belongs to"),
    ),
    request_body(content(
        (QueryBody = "application/json"),
        (String = "application/sql", example = "SELECT 1 AS one"),
        (String = "text/plain", example = "SELECT 1 AS one"),
        (Plan = "application/vnd.substrait.plan"),
    )),
    responses(
        RowsResponse,
        (status = 304, description = "The answer is the one that the client has (`If-None-Match`); nothing was run"),
        (status = 202, description = "The query runs in the background; `Location` says where to look", body = QueryStatus),
        Failures, StatementFailures,
    ))]
pub(crate) async fn post(
    State(door): State<Door>,
    QueryString(params): QueryString<ResultParams>,
    client: Client,
    headers: HeaderMap,
    body: QueryBody,
) -> Result<Response, Problem> {
    let body = params.complete(body);
    let wanted = params.wanted(&body, &headers)?;
    let known = EntityTag::validators(&headers, &wanted);
    answer(&door, &body, &wanted, known, &client).await.map_err(|problem| problem.without_prefix(body.prefix()))
}

/// The answer to a statement: its rows, or, if the client would rather not wait for them, where to look.
async fn answer(
    door: &Door,
    body: &QueryBody,
    wanted: &Wanted,
    known: Vec<String>,
    client: &Client,
) -> Result<Response, Problem> {
    let session = session(door, client, body.session_id.as_deref())?;
    let mut request = body.request(client).map_err(|error| client.problem(&error))?;
    if body.dry_run {
        return validate::answer(&session, &request, client).await;
    }
    let limit = body.wait_ms.map(Duration::from_millis).or(client.preference.wait);
    let wait = Wait::of(client.preference.respond_async, limit);
    let mut response = match (&client.idempotency_key, wait) {
        (None, Wait::ToTheEnd) => {
            request.cache.known = known;
            return run(&session, request, wanted, client).await;
        }
        (None, wait) => queries::submit(door, &session, request, wanted, client, wait).await?,
        (Some(key), wait) => {
            let keyed = idempotency::Keyed { name: key, fingerprint: idempotency::fingerprint(body) };
            idempotency::answer(door, &session, request, keyed, wanted, client, wait).await?
        }
    };
    if let Some(applied) = client.preference.applied() {
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

/// Run a statement that only reads.
///
/// A statement that writes is refused, so that a link can change nothing.
#[utoipa::path(
    get,
    path = "/v1/query",
    tag = "query",
    params(GetParams,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that the client has; 304 if it is still the answer"),
    ),
    responses(RowsResponse,
        (status = 304, description = "The answer is the one that the client has (`If-None-Match`); nothing was run"),
        Failures, StatementFailures,)
)]
pub(crate) async fn get(
    State(door): State<Door>,
    QueryString(params): QueryString<GetParams>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let options = FormatOptions {
        rows: params.rows,
        numbers: params.numbers,
        nan: params.nan,
        header: params.header,
        codec: params.codec,
    };
    let wanted = Wanted::new(params.format.as_deref(), &headers, options, params.download)?;
    let body = QueryBody {
        sql: params.sql,
        catalog: params.catalog,
        schema: params.schema,
        row_limit: params.row_limit,
        timeout_ms: params.timeout_ms,
        cache: params.cache,
        max_staleness_ms: params.max_staleness_ms,
        ..QueryBody::default()
    };
    let mut request = body.request(&client).map_err(|error| client.problem(&error))?;
    request.read_only = true;
    request.cache.known = EntityTag::validators(&headers, &wanted);
    let session = session(&door, &client, None)?;
    run(&session, request, &wanted, &client).await
}

async fn run(
    session: &Arc<Session>,
    request: QueryRequest,
    wanted: &Wanted,
    client: &Client,
) -> Result<Response, Problem> {
    let rows = session.query(request).await.map_err(|error| client.problem(&error))?;
    Ok(respond::running(rows, wanted, client).await)
}

/// The session of this id, or one for this request alone.
pub(crate) fn session(door: &Door, client: &Client, id: Option<&str>) -> Result<Arc<Session>, Box<Problem>> {
    match id {
        Some(id) => {
            let found = door.engine.sessions().get(&client.principal, id);
            found.map_err(|error| Box::new(client.path_problem(&error)))
        }
        None => Ok(door.engine.ephemeral_session(client.principal.clone())),
    }
}
