//! Trailers: how a streamed result ended, for clients that read what follows the body.
//!
//! A body that breaks off has none: its end is a reset stream, or a chunked body without its last chunk.

use std::future;

use axum::body::Body;
use axum::http::header::{HeaderName, HeaderValue, TE, TRAILER};
use axum::http::{HeaderMap, Version};
use axum::response::Response;
use futures::{StreamExt, TryStreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;

use crate::http::encode::{EncodedStream, Outcome};

const QUERY_STATUS: HeaderName = HeaderName::from_static("x-query-status");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-query-error");

/// Whether the client reads trailers: those of HTTP/2 do, others say so with `TE: trailers`.
pub(crate) fn wanted(version: Version, headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    version >= Version::HTTP_2 || codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// A response with this body, and trailers behind it.
pub(crate) fn response(encoded: EncodedStream) -> Response {
    let outcome = encoded.outcome_handle();
    let last = stream::once(async move { outcome.get().map(|outcome| Ok(Frame::trailers(trailers(outcome)))) });
    let frames = encoded.map_ok(Frame::data).chain(last.filter_map(future::ready));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    // HTTP/1.1 sends only trailers that are announced.
    response.headers_mut().insert(TRAILER, HeaderValue::from_static("X-Query-Status, X-Query-Error"));
    response
}

fn trailers(outcome: &Outcome) -> HeaderMap {
    let (status, error) = match outcome {
        Outcome::Finished(summary) => (format!("finished; rows={}", summary.rows), None),
        Outcome::Failed(problem) => {
            let sqlstate = problem.sqlstate.as_deref().unwrap_or("XX000");
            ("failed".to_owned(), Some(format!("{}; sqlstate={sqlstate}", problem.code)))
        }
    };
    let mut trailers = HeaderMap::new();
    for (name, value) in [(QUERY_STATUS, Some(status)), (QUERY_ERROR, error)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            trailers.insert(name, value);
        }
    }
    trailers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use http_body_util::BodyExt;
    use tidemill_engine::{Error, ErrorKind, Result};

    use super::*;
    use crate::http::encode::{Labels, encode_stream};
    use crate::http::negotiate::{Format, FormatOptions};

    async fn trailers_of(end: Option<Error>) -> HeaderMap {
        let rows = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1, 2])) as _)]).unwrap();
        let schema = rows.schema();
        let batches: Vec<Result<RecordBatch>> = std::iter::once(Ok(rows)).chain(end.map(Err)).collect();
        let format = Format::named("json", FormatOptions::default()).unwrap();
        let encoded = encode_stream(stream::iter(batches), &schema, &format, Labels::default(), || None).unwrap();
        let body = response(encoded).into_body().collect().await.unwrap();
        body.trailers().unwrap().clone()
    }

    #[tokio::test]
    async fn trailers_tell_how_the_result_ended() {
        let finished = trailers_of(None).await;
        assert_eq!(finished[QUERY_STATUS], "finished; rows=2");
        assert!(!finished.contains_key(QUERY_ERROR));
        let failed = trailers_of(Some(Error::new(ErrorKind::Data, "cannot cast"))).await;
        assert_eq!(failed[QUERY_STATUS], "failed");
        assert!(failed[QUERY_ERROR].to_str().unwrap().starts_with("DATA_ERROR; sqlstate=22"));
    }

    #[test]
    fn only_clients_that_read_trailers_get_them() {
        let mut headers = HeaderMap::new();
        assert!(!wanted(Version::HTTP_11, &headers));
        assert!(wanted(Version::HTTP_2, &headers));
        headers.insert(TE, HeaderValue::from_static("gzip, Trailers"));
        assert!(wanted(Version::HTTP_11, &headers));
    }
}
