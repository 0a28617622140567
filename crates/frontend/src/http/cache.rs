//! The result cache as this door tells of it: `cache` in requests, `X-Cache`, `Age` and `ETag` in responses, and 304.

use axum::http::header::{AGE, CACHE_CONTROL, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidemill_engine::QueryId;
use tidemill_engine::cache::{CacheMode, CacheOutcome, CacheStatus};
use utoipa::ToSchema;

use super::negotiate::Format;
use super::respond::etag::EntityTag;
use super::respond::{self, Wanted};

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Nobody can know for how long it stays right.
const DO_NOT_KEEP: HeaderValue = HeaderValue::from_static("no-store");

/// Whether an answer that is known already will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cache {
    /// Yes, if a run would give the same; and the result of a run is kept.
    Use,
    /// No, but the result of the run is kept in place of what is there.
    Refresh,
    /// No, and nothing is kept.
    Off,
}

impl From<Cache> for CacheMode {
    fn from(cache: Cache) -> Self {
        match cache {
            Cache::Use => Self::Use,
            Cache::Refresh => Self::Refresh,
            Cache::Off => Self::Off,
        }
    }
}

/// The response to a client that has the answer already.
pub(crate) fn unchanged(cached: Option<&CacheOutcome>, wanted: &Wanted, id: QueryId) -> Option<Response> {
    let cached = cached.filter(|cached| cached.unchanged)?;
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    respond::vary(headers);
    respond::mark(headers, id);
    mark(headers, Some(cached), wanted, true);
    Some(response)
}

/// Says in the headers of a result where it came from, and its tag if it has one. `whole` says that the result is complete: of
/// one that is not, only those formats get a tag that can not end well when the query fails, lest a client keeps a document
/// that closes with an error.
pub(crate) fn mark(headers: &mut HeaderMap, cached: Option<&CacheOutcome>, wanted: &Wanted, whole: bool) {
    status(headers, cached.map_or(CacheStatus::Bypass, |cached| cached.status));
    if let Some(age) = cached.and_then(|cached| cached.age) {
        headers.insert(AGE, HeaderValue::from(age.as_secs()));
    }
    let whole = whole || !matches!(wanted.format, Format::Json { .. } | Format::Ndjson { .. });
    match cached.and_then(|cached| cached.validator.as_deref()).filter(|_| whole) {
        Some(validator) => EntityTag::of_answer(validator, wanted).mark(headers),
        None => drop(headers.insert(CACHE_CONTROL, DO_NOT_KEEP)),
    }
}

/// Says where an answer came from.
pub(crate) fn status(headers: &mut HeaderMap, status: CacheStatus) {
    headers.insert(X_CACHE, HeaderValue::from_static(status.name()));
}
