//! The body of a statement's request: SQL text, JSON that says more, or a plan.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tidemill_engine::cache::CacheRequest;
use tidemill_engine::{Error, Parameters, QueryRequest, RequestLimits, Source, Subject};
use utoipa::ToSchema;

use super::cache::Cache;
use super::client::Client;
use super::negotiate::FormatOptions;
use super::problem::Problem;

/// The media type of a `substrait.Plan` as protobuf. The names of protobuf alone do not say which message it is.
const SUBSTRAIT: &str = "application/vnd.substrait.plan";

/// A statement with everything that belongs to its request.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QueryBody {
    /// The text of one statement.
    #[schema(example = "SELECT 1 AS one")]
    pub(crate) sql: String,
    /// Values for `$1` and `?` (a list) or `$name` (an object). A value is plain JSON, or `{"type": "DATE", "value": "2024-01-01"}`.
    #[schema(value_type = Object)]
    pub(crate) params: Option<Box<RawValue>>,
    /// The catalog of names without one.
    pub(crate) catalog: Option<String>,
    /// The schema of names without one.
    pub(crate) schema: Option<String>,
    /// Settings for this request alone, as `SET` takes them.
    #[schema(value_type = Object)]
    pub(crate) session: BTreeMap<String, Value>,
    /// The session to run in; without one, the request has a session of its own.
    pub(crate) session_id: Option<String>,
    /// The result ends after this many rows.
    pub(crate) row_limit: Option<u64>,
    /// A result with more bytes (as Arrow in memory) is an error.
    pub(crate) byte_limit: Option<u64>,
    /// Deadline in milliseconds for queueing, planning, running and fetching together.
    pub(crate) timeout_ms: Option<u64>,
    /// Runs in the background, and answers with the result if it is there within this many milliseconds.
    pub(crate) wait_ms: Option<u64>,
    /// Whether an answer that is known already will do; by default what the setting `result_cache` says.
    pub(crate) cache: Option<Cache>,
    /// An answer from the cache may be this old, in milliseconds, although the data may have changed since; 0 by default.
    pub(crate) max_staleness_ms: u64,
    /// Labels, kept in history.
    pub(crate) tags: BTreeMap<String, String>,
    /// Plan only: answers with what the statement would return and touch.
    pub(crate) dry_run: bool,
    /// Answers with the plan instead of the result.
    pub(crate) explain: Option<Explain>,
    /// The format of the result by name; wins over `Accept`.
    pub(crate) format: Option<String>,
    /// Options of the format.
    pub(crate) format_options: Option<FormatOptions>,
    /// A plan in the place of SQL: what the whole body is, if that is its media type.
    #[serde(skip)]
    pub(crate) plan: Option<Bytes>,
}

/// Which plan is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", try_from = "Value")]
pub(crate) enum Explain {
    /// As it would run.
    Plan,
    /// As it ran: the statement is run, and its result thrown away.
    Analyze,
}

/// Serde says of a value that is no text only that it expected another.
impl TryFrom<Value> for Explain {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("plan") => Ok(Self::Plan),
            Some("analyze") => Ok(Self::Analyze),
            _ => Err(format!(
                "explain is {value}, and can be \"plan\" (as it would run) or \"analyze\" (run it, and tell how it ran)"
            )),
        }
    }
}

impl QueryBody {
    /// What the session is asked.
    pub(crate) fn request(&self, client: &Client) -> Result<QueryRequest, Error> {
        let mut request = match &self.plan {
            Some(plan) => QueryRequest::of(Source::Substrait(plan.clone())),
            None if self.sql.trim().is_empty() => {
                return Err(Error::invalid("the request holds no SQL").about(Subject::Syntax));
            }
            None => QueryRequest::sql(format!("{}{}", self.prefix(), self.sql)),
        };
        if let Some(params) = &self.params {
            request.parameters = Parameters::from_json(params)?;
        }
        request.id = client.query_id;
        request.origin = client.origin.clone();
        request.tags = self.tags.clone();
        request.limits = RequestLimits {
            rows: self.row_limit,
            bytes: self.byte_limit,
            timeout: self.timeout_ms.map(Duration::from_millis),
        };
        request.cache = CacheRequest {
            mode: self.cache.map(Into::into),
            max_staleness: Duration::from_millis(self.max_staleness_ms),
            known: Vec::new(),
        };
        request.settings = self.settings()?;
        Ok(request)
    }

    /// What the door puts before the client's text.
    pub(crate) fn prefix(&self) -> &'static str {
        match self.explain {
            None => "",
            Some(Explain::Plan) => "EXPLAIN ",
            Some(Explain::Analyze) => "EXPLAIN ANALYZE ",
        }
    }

    fn settings(&self) -> Result<Vec<(String, String)>, Error> {
        let named = [("catalog", &self.catalog), ("schema", &self.schema)];
        let mut settings: Vec<(String, String)> =
            named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect();
        for (name, value) in &self.session {
            settings.push((name.clone(), setting_text(name, value)?));
        }
        Ok(settings)
    }
}

/// A setting's value as the text that `SET` takes.
pub(crate) fn setting_text(name: &str, value: &Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(Error::invalid(format!("setting '{name}' is neither text, number nor boolean")).about(Subject::Setting))
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for QueryBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media = media(request.headers())?;
        let bytes = read(request, state).await?;
        match media {
            Media::Json => return Ok(decode(&bytes)?),
            Media::Substrait => return Ok(Self { plan: Some(bytes), ..Self::default() }),
            Media::Sql => {}
        }
        let sql = String::from_utf8(bytes.to_vec()).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Problem::of_statement(
                &Error::invalid(format!("the SQL text is not UTF-8 at byte {at}")).about(Subject::Syntax),
            )
        })?;
        Ok(Self { sql, ..Self::default() })
    }
}

/// Reads the whole body, within the door's limits.
pub(crate) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    refuse_encoded(request.headers())?;
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| Problem::new(rejection.status(), "BODY_UNREADABLE", rejection.body_text()))
}

/// Bodies are taken as they are: compressed bytes would be read as the statement.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let coding = String::from_utf8_lossy(value.as_bytes());
        if !matches!(coding.trim().to_ascii_lowercase().as_str(), "" | "identity") {
            return Err(Box::new(Problem {
                hint: Some("send the body without compression (identity), and no Content-Encoding".to_owned()),
                ..Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "UNSUPPORTED_CONTENT_ENCODING",
                    format!("a body with Content-Encoding '{coding}' can not be read"),
                )
            }));
        }
    }
    Ok(())
}

/// Decodes a JSON body.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Box<Problem>> {
    let refuse = |why: &dyn Display| {
        let error = Error::invalid(format!("the JSON body can not be used: {why}"));
        Box::new(Problem::of_statement(&error))
    };
    // Serde would take a list for the fields in their order.
    if bytes.trim_ascii_start().first().is_some_and(|first| *first == b'[') {
        return Err(refuse(&"expected an object, found a list"));
    }
    serde_json::from_slice(bytes).map_err(|error| refuse(&error))
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Sql,
    Substrait,
}

fn media(headers: &HeaderMap) -> Result<Media, Box<Problem>> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Media::Sql) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Media::Json),
        SUBSTRAIT => Ok(Media::Substrait),
        // curl's `-d` says this when nobody says otherwise; no HTML form posts SQL.
        "text/plain" | "application/sql" | "application/x-www-form-urlencoded" | "" => Ok(Media::Sql),
        other => Err(Box::new(Problem {
            hint: Some(format!(
                "send SQL as text/plain or application/sql, a JSON object as application/json, or a plan as {SUBSTRAIT}"
            )),
            ..Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                format!("a statement can not be sent as '{other}'"),
            )
        })),
    }
}

/// A JSON body of any other route.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: for<'de> Deserialize<'de> + Default> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = media(request.headers())? == Media::Json;
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            let detail = "the body is not announced as application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail));
        }
        Ok(Self(decode(&bytes)?))
    }
}
