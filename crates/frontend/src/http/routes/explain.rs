//! `/v1/explain`: how a statement would run, or ran.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tidemill_engine::{Error, Subject};
use utoipa::ToSchema;

use super::openapi::{Failures, StatementFailures};
use crate::http::body::{JsonBody, QueryBody};
use crate::http::client::Client;
use crate::http::door::Door;
use crate::http::problem::Problem;
use crate::http::respond;
use crate::http::routes::query;

/// A statement to explain.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ExplainBody {
    /// The text of one statement.
    #[schema(example = "SELECT 1 AS one")]
    sql: String,
    /// Values for its parameters.
    #[schema(value_type = Option<Object>)]
    params: Option<Box<RawValue>>,
    /// Runs the statement and tells what its operators did.
    analyze: bool,
    /// The form of the plan.
    format: PlanFormat,
    /// The session to plan in.
    session_id: Option<String>,
    /// The catalog of names without one.
    catalog: Option<String>,
    /// The schema of names without one.
    schema: Option<String>,
}

/// The form of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PlanFormat {
    /// One operator per line, indented: logical and physical plan.
    #[default]
    Text,
    /// The logical plan as PostgreSQL's JSON.
    Json,
    /// The physical plan drawn with boxes.
    Tree,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Plan {
    /// The form of the plan.
    format: PlanFormat,
    /// Whether the statement was run for it.
    analyze: bool,
    /// The plan: text, or JSON if that is its form.
    plan: Value,
}

/// Explain a statement.
///
/// Text with `Accept: text/plain`, else JSON.
#[utoipa::path(post, path = "/v1/explain", tag = "query", request_body = ExplainBody,
    responses(
        (status = 200, description = "The plan", content((Plan = "application/json"), (String = "text/plain"))),
        Failures, StatementFailures,
    ))]
pub(crate) async fn post(
    State(door): State<Door>,
    client: Client,
    headers: HeaderMap,
    JsonBody(body): JsonBody<ExplainBody>,
) -> Result<Response, Problem> {
    let (format, analyze) = (body.format, body.analyze);
    let prefix = body.prefix().map_err(|error| client.problem(&error))?;
    let fail = |error: Error| client.problem(&error).without_prefix(prefix);
    let session = query::session(&door, &client, body.session_id.as_deref())?;
    let request = body.into_query(prefix).and_then(|query| query.request(&client)).map_err(fail)?;
    let rows = session.query(request).await.map_err(fail)?;
    let batches: Vec<RecordBatch> = rows.try_collect().await.map_err(fail)?;
    let plan = text(&batches).map_err(fail)?;
    if respond::accepts(&headers, "text/plain") {
        return Ok(plan.into_response());
    }
    let plan = match format {
        PlanFormat::Json => serde_json::from_str(&plan).unwrap_or(Value::String(plan)),
        PlanFormat::Text | PlanFormat::Tree => Value::String(plan),
    };
    Ok(Json(Plan { format, analyze, plan }).into_response())
}

impl ExplainBody {
    /// What the door puts before the client's text.
    fn prefix(&self) -> Result<&'static str, Error> {
        Ok(match (self.analyze, self.format) {
            (true, PlanFormat::Text) => "EXPLAIN ANALYZE ",
            (true, PlanFormat::Json | PlanFormat::Tree) => {
                return Err(Error::invalid("analyze is there as text only").hint("leave format out"));
            }
            (false, PlanFormat::Text) => "EXPLAIN ",
            (false, PlanFormat::Json) => "EXPLAIN FORMAT PGJSON ",
            (false, PlanFormat::Tree) => "EXPLAIN FORMAT TREE ",
        })
    }

    fn into_query(self, prefix: &str) -> Result<QueryBody, Error> {
        if self.sql.trim().is_empty() {
            return Err(Error::invalid("the request holds no SQL").about(Subject::Syntax));
        }
        Ok(QueryBody {
            sql: format!("{prefix}{}", self.sql),
            params: self.params,
            catalog: self.catalog,
            schema: self.schema,
            ..QueryBody::default()
        })
    }
}

/// The plans of an `EXPLAIN`, whose rows are a title and a plan.
fn text(batches: &[RecordBatch]) -> Result<String, Error> {
    let mut text = String::new();
    for batch in batches {
        let [titles, plans] = batch.columns() else { return Err(Error::internal("a plan is not two columns")) };
        let (titles, plans) = (cast(titles, &DataType::Utf8)?, cast(plans, &DataType::Utf8)?);
        let (titles, plans) = (titles.as_string::<i32>(), plans.as_string::<i32>());
        for row in 0..plans.len() {
            if batch.num_rows() > 1 || batches.len() > 1 {
                text.push_str(titles.value(row));
                text.push('\n');
            }
            text.push_str(plans.value(row).trim_end());
            text.push('\n');
        }
    }
    Ok(text)
}
