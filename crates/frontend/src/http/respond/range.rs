//! Ranges of bytes (RFC 9110, section 14) of documents whose length is known.

use std::io;

use axum::body::Body;
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use super::etag::EntityTag;
use crate::http::problem::Problem;

/// Which bytes a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// All of them.
    Whole,
    /// From the first to the last, inclusive.
    Part(u64, u64),
    /// None that exist.
    Unsatisfiable,
}

/// The value of `Range`, if the condition in `If-Range` lets it count.
pub(crate) fn requested<'a>(headers: &'a HeaderMap, tag: &EntityTag) -> Option<&'a str> {
    headers.get(RANGE).filter(|_| tag.allows_range(headers))?.to_str().ok()
}

impl ByteRange {
    /// The range of a document of `total` bytes. What is no single range of bytes is ignored, as the standard allows.
    pub(crate) fn of(requested: &str, total: u64) -> Self {
        Self::parse(requested, total).unwrap_or(Self::Whole)
    }

    fn parse(requested: &str, total: u64) -> Option<Self> {
        let (first, last) = requested.trim().strip_prefix("bytes=")?.trim().split_once('-')?;
        let (first, last) = match (first, last) {
            ("", suffix) => match suffix.parse::<u64>().ok()? {
                0 => return Some(Self::Unsatisfiable),
                suffix => (total.saturating_sub(suffix), total.checked_sub(1)),
            },
            (first, "") => (first.parse().ok()?, total.checked_sub(1)),
            (first, last) => {
                let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
                if last < first {
                    return None;
                }
                (first, total.checked_sub(1).map(|end| end.min(last)))
            }
        };
        Some(match last {
            Some(last) if first <= last => Self::Part(first, last),
            _ => Self::Unsatisfiable,
        })
    }
}

/// Says that ranges can be asked for.
pub(crate) fn offer(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// Makes a response a partial one: 206.
pub(crate) fn partial(response: &mut Response, first: u64, last: u64, total: u64) {
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(last - first + 1));
    if let Ok(value) = HeaderValue::from_str(&format!("bytes {first}-{last}/{total}")) {
        headers.insert(CONTENT_RANGE, value);
    }
}

/// 416.
pub(crate) fn unsatisfiable(total: u64) -> Response {
    let detail = format!("the range holds no byte of the {total} that there are");
    let mut response = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", detail).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{total}")) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    response
}

/// The bytes from `first` to `last` of a document that is made from its beginning.
pub(crate) fn cut(
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
    first: u64,
    last: u64,
) -> Body {
    let rest = stream::try_unfold((chunks, first, last - first + 1), |(mut chunks, mut skip, left)| async move {
        while left > 0
            && let Some(mut chunk) = chunks.next().await.transpose()?
        {
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            drop(chunk.split_to(skipped as usize));
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if !chunk.is_empty() {
                let left = left - chunk.len() as u64;
                return io::Result::Ok(Some((chunk, (chunks, skip, left))));
            }
        }
        Ok(None)
    });
    Body::from_stream(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (requested, range) in [
            ("bytes=0-99", ByteRange::Part(0, 99)),
            ("bytes=100-", ByteRange::Part(100, 999)),
            ("bytes=-10", ByteRange::Part(990, 999)),
            ("bytes=-5000", ByteRange::Part(0, 999)),
            ("bytes=900-5000", ByteRange::Part(900, 999)),
            ("bytes=1000-", ByteRange::Unsatisfiable),
            ("bytes=-0", ByteRange::Unsatisfiable),
            ("bytes=9-1", ByteRange::Whole),
            ("bytes=0-1,5-6", ByteRange::Whole),
            ("rows=0-1", ByteRange::Whole),
        ] {
            assert_eq!(ByteRange::of(requested, 1000), range, "{requested}");
        }
        assert_eq!(ByteRange::of("bytes=0-", 0), ByteRange::Unsatisfiable);
    }

    #[tokio::test]
    async fn a_cut_holds_the_bytes_of_its_range() {
        let chunks = stream::iter([b"abc", b"def", b"ghi"].map(|chunk| Ok(Bytes::from_static(chunk))));
        let body = axum::body::to_bytes(cut(chunks, 2, 6), 100).await.unwrap();
        assert_eq!(&body[..], b"cdefg");
    }
}
