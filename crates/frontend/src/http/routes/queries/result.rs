//! `/v1/queries/{id}/result`: kept results, whole, by parts, by pages, or by ranges of bytes.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use serde::Deserialize;
use tidemill_engine::results::SpooledResult;
use tidemill_engine::{Error, QueryId, Subject};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;

use super::parse;
use crate::http::client::Client;
use crate::http::door::Door;
use crate::http::encode::{Cost, EncodedStream, Labels, encode_stream};
use crate::http::negotiate::{Codec, Format, FormatOptions, Header, NegotiationError, NotANumber, Numbers, Rows};
use crate::http::path::PathParams;
use crate::http::problem::Problem;
use crate::http::query_string::QueryString;
use crate::http::respond::etag::EntityTag;
use crate::http::respond::range::{self, ByteRange};
use crate::http::respond::{self, Wanted};
use crate::http::routes::openapi::{Failures, Rows as RowsResponse, StatementFailures};

/// How the engine compresses the parts of kept results.
const STORED_CODEC: Codec = Codec::Zstd;

type Batches = BoxStream<'static, tidemill_engine::Result<arrow::array::RecordBatch>>;

/// Which rows of a result, and how.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResultParams {
    /// The format by name; wins over `Accept`.
    format: Option<String>,
    /// Send the result as a file to save.
    download: bool,
    /// What a row of a JSON document is.
    #[param(inline)]
    rows: Option<Rows>,
    /// How integers of 64 bits are written in JSON.
    #[param(inline)]
    numbers: Option<Numbers>,
    /// How `NaN` and the infinities are written in JSON.
    #[param(inline)]
    nan: Option<NotANumber>,
    /// Whether CSV, TSV and NDJSON begin with the columns; by default CSV and TSV do.
    #[param(inline)]
    header: Option<Header>,
    /// Compression of the buffers inside Arrow IPC.
    #[param(inline)]
    codec: Option<Codec>,
    /// Only this part, counted from 0. Not together with `offset` and `limit`.
    part: Option<usize>,
    /// Only rows from this one on, counted from 0.
    offset: Option<u64>,
    /// At most this many rows.
    limit: Option<u64>,
}

/// Which rows.
#[derive(Debug, Clone, Copy)]
enum Extent {
    Page { offset: u64, limit: u64 },
    Part(usize),
}

impl Extent {
    const ALL: Self = Self::Page { offset: 0, limit: u64::MAX };

    fn rows(self, result: &SpooledResult) -> Result<Batches, Error> {
        match self {
            Self::Page { offset, limit } => Ok(result.page(offset, limit)),
            Self::Part(number) => result.part(number),
        }
    }
}

impl ResultParams {
    fn wanted(&self, headers: &HeaderMap) -> Result<Wanted, NegotiationError> {
        let options = FormatOptions {
            rows: self.rows,
            numbers: self.numbers,
            nan: self.nan,
            header: self.header,
            codec: self.codec,
        };
        Wanted::new(self.format.as_deref(), headers, options, self.download)
    }

    fn extent(&self) -> Result<Extent, Error> {
        match (self.part, self.offset, self.limit) {
            (Some(part), None, None) => Ok(Extent::Part(part)),
            (None, offset, limit) => Ok(Extent::Page { offset: offset.unwrap_or(0), limit: limit.unwrap_or(u64::MAX) }),
            (Some(_), _, _) => {
                Err(Error::invalid("part can not be used together with offset and limit").about(Subject::Parameter))
            }
        }
    }
}

/// Fetch the kept result of a query.
///
/// Parts can be fetched at the same time. Parquet and Arrow files can be fetched by ranges of bytes.
#[utoipa::path(get, path = "/v1/queries/{id}/result", tag = "queries",
    params(("id" = String, Path, description = "The query's id"), ResultParams,
        ("Range" = Option<String>, Header, description = "Bytes of a Parquet or Arrow file"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of a result that the client has")),
    responses(
        RowsResponse,
        (status = 206, description = "The bytes of the range"),
        (status = 304, description = "The client has the result already"),
        Failures, StatementFailures,
        (status = 409, description = "The query is still running", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range holds no byte", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn get(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    QueryString(params): QueryString<ResultParams>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse(&id, &client)?;
    let wanted = params.wanted(&headers)?;
    let extent = params.extent().map_err(|error| client.path_problem(&error))?;
    let fetch = Fetch { result: open(&door, id, &client).await?, extent, wanted: &wanted, client: &client };
    let tag = EntityTag::new(id, &extent, &wanted, &headers);
    if tag.is_known(&headers) {
        return Ok(not_modified(&tag, id));
    }
    let mut response = fetch.respond(&door, range::requested(&headers, &tag)).await?;
    if response.status().is_success() {
        tag.mark(response.headers_mut());
    }
    Ok(response)
}

/// Delete the kept result of a query before its time.
///
/// Whoever is fetching it gets it whole. The query stays in the list of queries.
#[utoipa::path(delete, path = "/v1/queries/{id}/result", tag = "queries", params(("id" = String, Path, description = "The query's id")),
    responses(
        (status = 204, description = "It is deleted"),
        (status = 409, description = "The query is still running", body = Problem, content_type = "application/problem+json"),
        Failures,
    ))]
pub(crate) async fn delete(
    State(door): State<Door>,
    PathParams(id): PathParams<String>,
    client: Client,
) -> Result<StatusCode, Problem> {
    let id = parse(&id, &client)?;
    door.engine.results().delete(&client.principal, id).map_err(|error| client.path_problem(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// 304, with the headers that the whole answer would have.
fn not_modified(tag: &EntityTag, id: QueryId) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    respond::vary(headers);
    respond::mark(headers, id);
    tag.mark(headers);
    response
}

/// The whole result of a query that has ended.
pub(super) async fn of_query(door: &Door, id: QueryId, wanted: &Wanted, client: &Client) -> Result<Response, Problem> {
    let result = open(door, id, client).await?;
    Fetch { result, extent: Extent::ALL, wanted, client }.respond(door, None).await
}

/// The kept result, or why there is none.
async fn open(door: &Door, id: QueryId, client: &Client) -> Result<SpooledResult, Problem> {
    let none = match door.engine.results().open(&client.principal, id).await {
        Ok(result) => return Ok(result),
        Err(none) => none,
    };
    let query = door.engine.queries().get(&client.principal, id).await;
    let query = query.map_err(|error| client.path_problem(&error))?;
    if !query.state.is_final() {
        let detail = format!("query {id} is still {}", query.state.name());
        let problem =
            Problem::new(StatusCode::CONFLICT, "RESULT_NOT_READY", detail).traced(client.trace_id().as_deref());
        let hint = Some(format!("GET /v1/queries/{id}?wait=30s answers when its state changes"));
        return Err(Problem { hint, retryable: true, retry_after_ms: Some(1000), ..problem });
    }
    Err(match &query.error {
        Some(error) => Problem::recorded(error, id).traced(client.trace_id().as_deref()),
        None => client.path_problem(&none),
    })
}

/// A result on its way to a client.
struct Fetch<'a> {
    result: SpooledResult,
    extent: Extent,
    wanted: &'a Wanted,
    client: &'a Client,
}

impl Fetch<'_> {
    async fn respond(self, door: &Door, requested: Option<&str>) -> Result<Response, Problem> {
        if let (Extent::Part(number), Format::ArrowFile { codec: STORED_CODEC }) = (self.extent, &self.wanted.format) {
            return self.stored(number, requested).await.map_err(|error| self.client.path_problem(&error));
        }
        let is_file = matches!(self.wanted.format, Format::ArrowFile { .. } | Format::Parquet);
        if let Some(requested) = requested.filter(|_| is_file) {
            return self.ranged(requested).await;
        }
        let rows = self.extent.rows(&self.result).map_err(|error| self.client.path_problem(&error))?;
        let id = self.result.id();
        let info = door.engine.queries().get(&self.client.principal, id).await.ok();
        let cost = info.as_ref().map(Cost::from);
        let mut response = respond::encoded(rows, self.result.schema(), self.wanted, self.client, id, move || cost);
        if let Some(info) = info {
            respond::time(response.headers_mut(), &info);
        }
        if is_file && response.status() == StatusCode::OK {
            range::offer(response.headers_mut());
        }
        Ok(response)
    }

    /// A part as it is on disk.
    async fn stored(&self, number: usize, requested: Option<&str>) -> Result<Response, Error> {
        let (mut file, total) = self.result.part_file(number).await?;
        let range = requested.map_or(ByteRange::Whole, |requested| ByteRange::of(requested, total));
        let (first, last) = match range {
            ByteRange::Unsatisfiable => return Ok(range::unsatisfiable(total)),
            ByteRange::Part(first, last) => (first, last + 1),
            ByteRange::Whole => (0, total),
        };
        file.seek(std::io::SeekFrom::Start(first)).await.map_err(|error| {
            Error::internal("a part of a kept result could not be read").caused_by(error).of_query(self.result.id())
        })?;
        let mut response = Response::new(Body::from_stream(ReaderStream::new(file.take(last - first))));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(last - first));
        respond::describe(&mut response, self.wanted, self.result.id());
        range::offer(response.headers_mut());
        if let ByteRange::Part(first, last) = range {
            range::partial(&mut response, first, last, total);
        }
        Ok(response)
    }

    /// A range of a file that is made anew: once to learn its length, and once more for the bytes. Neither needs memory for
    /// more than a row group.
    async fn ranged(&self, requested: &str) -> Result<Response, Problem> {
        let failed = |_| {
            let error = Error::internal("a kept result could not be encoded").of_query(self.result.id());
            self.client.path_problem(&error)
        };
        let count = |total: u64, chunk: bytes::Bytes| std::future::ready(Ok(total + chunk.len() as u64));
        let total = self.document()?.try_fold(0, count).await.map_err(failed)?;
        let mut response = match ByteRange::of(requested, total) {
            ByteRange::Unsatisfiable => return Ok(range::unsatisfiable(total)),
            ByteRange::Whole => Body::from_stream(self.document()?).into_response(),
            ByteRange::Part(first, last) => {
                let mut response = range::cut(self.document()?, first, last).into_response();
                range::partial(&mut response, first, last, total);
                response
            }
        };
        respond::describe(&mut response, self.wanted, self.result.id());
        range::offer(response.headers_mut());
        Ok(response)
    }

    fn document(&self) -> Result<EncodedStream, Box<Problem>> {
        let labels = Labels { query_id: Some(self.result.id()), trace_id: self.client.trace_id() };
        let encoded = self
            .extent
            .rows(&self.result)
            .and_then(|rows| encode_stream(rows, &self.result.schema(), &self.wanted.format, labels, || None));
        encoded.map_err(|error| Box::new(self.client.path_problem(&error)))
    }
}
