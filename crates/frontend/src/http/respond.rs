//! From a stream of batches to a response: the status line waits for the first batch or error, so that a failure is told by the
//! status whenever that is possible.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use tidemill_engine::{QueryHandle, QueryId, QueryInfo, QueryStream, Result};
use tokio::time::{Instant, timeout_at};

use super::cache;
use super::client::Client;
use super::compression::AsIs;
use super::encode::{Cost, Labels, encode_stream};
use super::negotiate::{Format, FormatOptions, NegotiationError, negotiate};

pub(crate) mod etag;
pub(crate) mod range;
pub(crate) mod trailers;

/// How long the status line waits for more after the first batch, and for how much: most results are over by then, so that
/// most failures are told by the status.
const GATE_WAIT: Duration = Duration::from_millis(20);
const GATE_BYTES: usize = 64 << 10;

pub(crate) const QUERY_ID: HeaderName = HeaderName::from_static("x-query-id");

/// How a client wants a result.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) format: Format,
    /// As a file to save.
    pub(crate) download: bool,
}

impl Wanted {
    /// From a format's name, the `Accept` headers and options.
    pub(crate) fn new(
        name: Option<&str>,
        headers: &HeaderMap,
        options: FormatOptions,
        download: bool,
    ) -> Result<Self, NegotiationError> {
        let accept = headers.get_all("accept").iter().filter_map(|value| value.to_str().ok());
        Ok(Self { format: negotiate(name, accept, options)?, download })
    }
}

/// The response of a query that runs: its rows as they come.
pub(crate) async fn running(mut rows: QueryStream, wanted: &Wanted, client: &Client) -> Response {
    let handle = Arc::clone(rows.handle());
    let schema = rows.schema();
    let (first, whole) = match first_rows(&mut rows).await {
        Ok(first) => first,
        Err(error) => return client.problem(&error).into_response(),
    };
    let cached = handle.cached();
    if let Some(response) = cache::unchanged(cached.as_ref(), wanted, handle.id()) {
        return response;
    }
    let info = handle.info();
    let rows = stream::iter(first.into_iter().map(Ok)).chain(rows);
    let id = handle.id();
    let mut response = encoded(rows, schema, wanted, client, id, move || Some(Cost::from(&end_of(&handle))));
    time(response.headers_mut(), &info);
    if response.status().is_success() {
        cache::mark(response.headers_mut(), cached.as_ref(), wanted, whole);
    }
    response
}

/// The rows that come first: one batch, and what follows it at once; and whether these are all. A failure among them is still
/// told by the status.
async fn first_rows(rows: &mut QueryStream) -> Result<(Vec<RecordBatch>, bool)> {
    let mut first = Vec::new();
    let Some(batch) = rows.next().await.transpose()? else { return Ok((first, true)) };
    let deadline = Instant::now() + GATE_WAIT;
    let mut bytes = batch.get_array_memory_size();
    first.push(batch);
    while bytes < GATE_BYTES {
        // Who is slow has begun to stream.
        let Ok(next) = timeout_at(deadline, rows.next()).await else { break };
        let Some(batch) = next.transpose()? else { return Ok((first, true)) };
        bytes += batch.get_array_memory_size();
        first.push(batch);
    }
    Ok((first, false))
}

/// The response of rows that are there already.
pub(crate) fn encoded(
    rows: impl Stream<Item = Result<RecordBatch>> + Send + Unpin + 'static,
    schema: SchemaRef,
    wanted: &Wanted,
    client: &Client,
    id: QueryId,
    cost: impl FnOnce() -> Option<Cost> + Send + 'static,
) -> Response {
    let labels = Labels { query_id: Some(id), trace_id: client.trace_id() };
    let encoded = match encode_stream(rows, &schema, &wanted.format, labels, cost) {
        Ok(encoded) => encoded,
        Err(error) => return client.problem(&error.of_query(id)).into_response(),
    };
    let mut response =
        if client.trailers { trailers::response(encoded) } else { Response::new(Body::from_stream(encoded)) };
    describe(&mut response, wanted, id);
    response
}

/// The headers of a result.
pub(crate) fn describe(response: &mut Response, wanted: &Wanted, id: QueryId) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(wanted.format.content_type()));
    vary(headers);
    mark(headers, id);
    if wanted.download {
        let name = format!("attachment; filename=\"{id}.{}\"", wanted.format.extension());
        if let Ok(name) = HeaderValue::from_str(&name) {
            headers.insert(CONTENT_DISPOSITION, name);
        }
    }
    if wanted.format.is_compressed() {
        response.extensions_mut().insert(AsIs);
    }
}

/// Whether the client names this media type in `Accept`.
pub(crate) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let values = headers.get_all("accept").iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(','));
    ranges.any(|range| range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(media_type)))
}

/// Says which headers of the request a result depends on.
pub(crate) fn vary(headers: &mut HeaderMap) {
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding, Authorization"));
}

/// Puts the query's id into the headers.
pub(crate) fn mark(headers: &mut HeaderMap, id: QueryId) {
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(QUERY_ID, value);
    }
}

fn end_of(handle: &QueryHandle) -> QueryInfo {
    handle.info()
}

/// <https://www.w3.org/TR/server-timing/>: what happened before the first byte.
pub(crate) fn time(headers: &mut HeaderMap, info: &QueryInfo) {
    let timings = &info.timings;
    let text = format!(
        "plan;dur={:.3}, queue;dur={:.3}, exec;dur={:.3}",
        timings.planning_ms, timings.queued_ms, timings.running_ms
    );
    if let Ok(timing) = HeaderValue::from_str(&text) {
        headers.insert("server-timing", timing);
    }
}
