//! `/v1/validate`: what a statement would answer, touch and need, without running it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tidemill_engine::auth::Role;
use tidemill_engine::session::Validation;
use tidemill_engine::{QueryRequest, Session, sql_type};
use utoipa::ToSchema;

use crate::http::body::QueryBody;
use crate::http::client::Client;
use crate::http::door::Door;
use crate::http::encode::ColumnInfo;
use crate::http::problem::Problem;
use crate::http::routes::openapi::{Failures, StatementFailures};
use crate::http::routes::query;

/// What planning says of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidationDocument {
    /// `query`, `dml`, `ddl` or `utility`.
    kind: &'static str,
    /// What it takes to run it. Who asks has it: else the answer is why not.
    permissions: Permissions,
    /// The columns of its result.
    schema: Vec<ColumnInfo>,
    /// Full names of the tables it touches.
    tables: Vec<String>,
    /// Its parameters.
    parameters: Vec<ParameterInfo>,
    /// Rows of the result, as far as statistics tell.
    estimated_rows: Option<u64>,
    /// Bytes of the result, as far as statistics tell.
    estimated_bytes: Option<u64>,
    /// The optimized logical plan as text; empty for commands.
    plan: String,
}

/// What it takes to run a statement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Permissions {
    /// What is different after it: nothing (`read`), the own `session`, another query (`control`), or data or catalog (`write`).
    effect: &'static str,
    /// The least role that may run it: `reader` or `writer`.
    #[schema(value_type = String)]
    role: Role,
}

/// A parameter of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParameterInfo {
    /// `$1` or `$name`.
    name: String,
    /// Its SQL type, if the statement decides it.
    #[serde(rename = "type")]
    sql_type: Option<String>,
}

impl From<Validation> for ValidationDocument {
    fn from(validation: Validation) -> Self {
        let parameter =
            |(name, data_type): (String, Option<_>)| ParameterInfo { name, sql_type: data_type.as_ref().map(sql_type) };
        Self {
            kind: validation.kind.name(),
            permissions: Permissions { effect: validation.effect.name(), role: validation.effect.role() },
            schema: ColumnInfo::all(&validation.schema),
            tables: validation.tables,
            parameters: validation.parameters.into_iter().map(parameter).collect(),
            estimated_rows: validation.estimated_rows,
            estimated_bytes: validation.estimated_bytes,
            plan: validation.plan,
        }
    }
}

/// Check a statement without running it.
#[utoipa::path(post, path = "/v1/validate", tag = "query",
    request_body(content((QueryBody = "application/json"), (String = "application/sql"), (String = "text/plain"))),
    responses(
        (status = 200, description = "It can be planned", body = ValidationDocument),
        Failures, StatementFailures,
    ))]
pub(crate) async fn post(State(door): State<Door>, client: Client, body: QueryBody) -> Result<Response, Problem> {
    let session = query::session(&door, &client, body.session_id.as_deref())?;
    let request = body.request(&client).map_err(|error| client.problem(&error))?;
    let answered = answer(&session, &request, &client).await;
    answered.map_err(|problem| problem.without_prefix(body.prefix()))
}

/// What planning says of the request.
pub(super) async fn answer(
    session: &Arc<Session>,
    request: &QueryRequest,
    client: &Client,
) -> Result<Response, Problem> {
    let validation = session.validate(request).await.map_err(|error| client.problem(&error))?;
    Ok(Json(ValidationDocument::from(validation)).into_response())
}
