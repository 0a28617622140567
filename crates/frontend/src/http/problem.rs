//! Failures as RFC 9457 problem documents, and the one table from the engine's kinds to HTTP statuses.

use std::time::Duration;

use axum::http::header::{ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidemill_engine::{Error, ErrorKind, Position, Subject};
use utoipa::ToSchema;

use super::respond::QUERY_ID;

mod recorded;
#[cfg(test)]
mod tests;

pub(crate) use recorded::conceal;

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What is told of a bug: its message may hold anything, so that it is for the log alone.
const INTERNAL_DETAIL: &str = "the server failed; its log says why";

/// After what time a retry is worth it, where the error does not say.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);
const RETRY_WHEN_UNAVAILABLE: Duration = Duration::from_secs(5);

/// What went wrong, by RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The class of the problem: `urn:tidemill:error:` and the code in lower case.
    #[serde(rename = "type")]
    #[schema(example = "urn:tidemill:error:table-not-found")]
    pub problem_type: String,
    /// The class in words.
    #[schema(example = "Table not found")]
    pub title: String,
    /// The HTTP status; in the middle of a result, the one it would have had.
    #[schema(example = 400)]
    pub status: u16,
    /// This problem in words.
    pub detail: String,
    /// The query, as a path on this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// A stable name for programs.
    #[schema(example = "TABLE_NOT_FOUND")]
    pub code: String,
    /// PostgreSQL's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "42P01")]
    pub sqlstate: Option<String>,
    /// The place in the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<ProblemPosition>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_id: Option<String>,
    /// The trace the request belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// After how many milliseconds a retry is worth it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Names that may have been meant, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub did_you_mean: Vec<String>,
    /// What the limit that is reached stands at; told by headers.
    #[serde(skip)]
    pub(crate) limit: Option<u64>,
}

/// A place in the text of a statement, as the request gave it. Columns, offset and length are in characters (Unicode code
/// points), not in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemPosition {
    /// The line, from 1.
    #[schema(minimum = 1, example = 1)]
    pub line: u64,
    /// The column, from 1.
    #[schema(minimum = 1, example = 15)]
    pub column: u64,
    /// Characters of the statement before it, line feeds included: from 0.
    #[schema(example = 14)]
    pub offset: u64,
    /// Characters of the token that stands there, or of the whole name if it has dots; 1 at the end of the statement.
    #[schema(minimum = 1, example = 5)]
    pub length: u64,
}

impl From<Position> for ProblemPosition {
    fn from(position: Position) -> Self {
        let Position { line, column, offset, length } = position;
        Self { line, column, offset, length }
    }
}

/// Where the client named the thing that a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// In the statement, or elsewhere in the request's body: the resource of the URL exists, its use is wrong.
    InStatement,
    /// In the URL.
    InPath,
}

impl Problem {
    /// The problem with a request whose statement or body failed: what it names and does not exist is its fault (400).
    pub fn of_statement(error: &Error) -> Self {
        Self::of(error, Named::InStatement)
    }

    /// The problem with a request whose URL names the thing: what does not exist is not found (404).
    pub fn of_path(error: &Error) -> Self {
        Self::of(error, Named::InPath)
    }

    fn of(error: &Error, named: Named) -> Self {
        let query_id = error.query_id().map(|id| id.to_string());
        let mut problem = Self {
            sqlstate: Some(error.sqlstate().to_owned()),
            position: error.position().map(ProblemPosition::from),
            hint: error.hint_text().map(str::to_owned),
            instance: query_id.as_ref().map(|id| format!("/v1/queries/{id}")),
            retryable: error.retryable(),
            retry_after_ms: retry_after(error).map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
            did_you_mean: error.suggestions().to_vec(),
            limit: error.limit(),
            query_id,
            ..Self::new(status(error, named), error.code(), error.to_string())
        };
        if error.kind() == ErrorKind::Internal {
            problem.detail = INTERNAL_DETAIL.to_owned();
            problem.hint = problem.query_id.as_ref().map(|id| format!("tell the operator the query id {id}"));
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(query_id = problem.query_id, error = %error, cause, "internal error");
        }
        problem
    }

    /// A problem of the protocol itself, which the engine never sees: a missing route, a body too large.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let words = code.to_ascii_lowercase();
        let mut title = words.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            problem_type: format!("urn:tidemill:error:{}", words.replace('_', "-")),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            instance: None,
            code: code.to_owned(),
            sqlstate: None,
            position: None,
            hint: None,
            query_id: None,
            trace_id: None,
            retryable: false,
            retry_after_ms: None,
            did_you_mean: Vec::new(),
            limit: None,
        }
    }

    /// Nothing that the client accepts is offered.
    pub(crate) fn not_acceptable(detail: String, hint: String) -> Self {
        Self { hint: Some(hint), ..Self::new(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", detail) }
    }

    /// Tells the position in the client's text, before which the door put `prefix` on the same line.
    #[must_use]
    pub(crate) fn without_prefix(mut self, prefix: &str) -> Self {
        let shift = prefix.chars().count() as u64;
        let Some(position) = self.position.as_mut().filter(|_| shift > 0) else { return self };
        position.offset = position.offset.saturating_sub(shift);
        if position.line == 1 {
            let (told, column) = (position.column, position.column.saturating_sub(shift).max(1));
            position.column = column;
            if let Some(detail) = self.detail.strip_suffix(&format!("(line 1, column {told})")) {
                self.detail = format!("{detail}(line 1, column {column})");
            }
        }
        self
    }

    /// Adds the trace the request belongs to.
    #[must_use]
    pub fn traced(mut self, trace_id: Option<&str>) -> Self {
        self.trace_id = trace_id.map(str::to_owned);
        self
    }
}

/// The one table from kinds to statuses.
fn status(error: &Error, named: Named) -> StatusCode {
    match error.kind() {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => match named {
            Named::InStatement => StatusCode::BAD_REQUEST,
            Named::InPath => StatusCode::NOT_FOUND,
        },
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Data => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Cancelled => cancelled(),
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        // A result beyond its limit is a matter of the query; a full server is a matter of the server.
        ErrorKind::Resources if error.subject() == Some(Subject::ResultSize) => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Resources => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Storage => StatusCode::BAD_GATEWAY,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// 499, which nginx made known as "client closed request": no registered status says that somebody stopped the work.
fn cancelled() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::CONFLICT)
}

fn retry_after(error: &Error) -> Option<Duration> {
    error.retry_delay().or(match error.kind() {
        ErrorKind::Busy => Some(RETRY_WHEN_BUSY),
        ErrorKind::Unavailable => Some(RETRY_WHEN_UNAVAILABLE),
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::Unsupported
        | ErrorKind::Data
        | ErrorKind::Cancelled
        | ErrorKind::Timeout
        | ErrorKind::Resources
        | ErrorKind::Storage
        | ErrorKind::Internal => None,
    })
}

/// The three headers that clients read today. The later drafts of the same standard fold them into one structured header,
/// under a syntax that still changes from draft to draft.
fn tell_limit(headers: &mut HeaderMap, limit: u64, reset_seconds: u64) {
    let values = [("ratelimit-limit", limit), ("ratelimit-remaining", 0), ("ratelimit-reset", reset_seconds)];
    for (name, value) in values {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// A problem is boxed where a result must stay small; a handler answers with the problem itself.
impl From<Box<Problem>> for Problem {
    fn from(problem: Box<Problem>) -> Self {
        *problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(id) = self.query_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(QUERY_ID, id);
        }
        if let Some(delay) = self.retry_after_ms {
            let seconds = delay.div_ceil(1_000);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            if let Some(limit) = self.limit.filter(|_| status == StatusCode::TOO_MANY_REQUESTS) {
                tell_limit(headers, limit, seconds);
            }
        }
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidemill\""));
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"tidemill\", charset=\"UTF-8\""));
        }
        response
    }
}
