//! Web servers that know less than readers of files ask for: the length of a file, or a range of it.
//!
//! A server may answer `HEAD` with an error or without a length, and `GET` of a range with the whole file. What it sends
//! whole is kept in the [`Spool`], and the answers that were wanted are made of that.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    SpawnedReqwestConnector,
};
use object_store::{ClientOptions, Result as StoreResult};
use parking_lot::Mutex;

use super::spool::{Spool, Version, Whole};

/// Connects to servers, whatever they can.
#[derive(Debug)]
pub(in crate::storage) struct Connector {
    pub(in crate::storage) inner: SpawnedReqwestConnector,
    pub(in crate::storage) spool: Arc<Spool>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> StoreResult<HttpClient> {
        let inner = self.inner.connect(options)?;
        Ok(HttpClient::new(Service { inner, spool: Arc::clone(&self.spool), turns: Mutex::default() }))
    }
}

/// A server.
#[derive(Debug)]
struct Service {
    inner: HttpClient,
    spool: Arc<Spool>,
    /// By URL: who fetches it whole. The others wait, and then find it in the spool.
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        match *request.method() {
            Method::HEAD => self.head(request).await,
            Method::GET => self.get(request).await,
            _ => self.inner.execute(request).await,
        }
    }
}

impl Service {
    async fn head(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.uri().to_string();
        let response = self.inner.execute(request.clone()).await?;
        let (status, headers) = (response.status(), response.headers());
        if status.is_success() {
            let known = self.spool.current(&url, Version::of(headers).as_ref());
            if headers.contains_key(CONTENT_LENGTH) {
                return Ok(response);
            }
            if let Some(whole) = known {
                return Ok(described(&whole.headers, whole.length));
            }
        }
        // Signed URLs are for one method, and some servers know no other than GET.
        let may_know_get = [StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
        if status.is_success() || may_know_get.contains(&status) {
            return self.probe(&url, request).await;
        }
        Ok(response)
    }

    /// Asks for the first byte, which tells the length of all.
    async fn probe(&self, url: &str, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        *request.method_mut() = Method::GET;
        let whole_request = request.clone();
        request.headers_mut().insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        let mut response = self.inner.execute(request).await?;
        let is_empty = response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
        if is_empty || response.status() == StatusCode::PARTIAL_CONTENT {
            if let Some(length) = total(response.headers()) {
                return Ok(described(response.headers(), length));
            }
            response = self.inner.execute(whole_request).await?;
        }
        if response.status() != StatusCode::OK {
            return Ok(response);
        }
        let whole = self.whole(url, response).await?;
        Ok(described(&whole.headers, whole.length))
    }

    async fn get(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.uri().to_string();
        let wanted = request.headers().get(RANGE).cloned();
        if wanted.is_some()
            && let Some(whole) = self.spool.find(&url)
        {
            return Ok(piece(&whole, wanted.as_ref()));
        }
        let mut response = self.inner.execute(request).await?;
        if response.status() == StatusCode::PARTIAL_CONTENT && !response.headers().contains_key(CONTENT_LENGTH) {
            // Who reads ranges wants their length told by this header.
            if let Some(length) = part(response.headers()) {
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            return Ok(response);
        }
        let is_wanted = wanted.is_none() && response.headers().contains_key(CONTENT_LENGTH);
        if response.status() != StatusCode::OK || is_wanted {
            return Ok(response);
        }
        let whole = self.whole(&url, response).await?;
        Ok(piece(&whole, wanted.as_ref()))
    }

    /// The file that begins to arrive, once it is there; or the same, which another request has fetched meanwhile.
    async fn whole(&self, url: &str, response: HttpResponse) -> Result<Arc<Whole>, HttpError> {
        let before = self.spool.find(url);
        let turn = self.turn(url);
        let _turn = turn.lock().await;
        match self.spool.find(url) {
            Some(now) if !before.is_some_and(|before| Arc::ptr_eq(&before, &now)) => Ok(now),
            _ => self.spool.keep(url, response).await,
        }
    }

    fn turn(&self, url: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock();
        if let Some(turn) = turns.get(url).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(url.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// The length of the file that a range is a part of.
fn total(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.rsplit_once('/')?.1.parse().ok()
}

/// The length of a range.
fn part(headers: &HeaderMap) -> Option<u64> {
    let (first, last) =
        headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?.0.split_once('-')?;
    last.parse::<u64>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)
}

/// The answer to `HEAD`.
fn described(headers: &HeaderMap, length: u64) -> HttpResponse {
    let body = Empty::<Bytes>::new().map_err(|never: Infallible| -> HttpError { match never {} });
    let mut response = HttpResponse::new(HttpResponseBody::new(body));
    *response.headers_mut() = headers_of(headers, length);
    response
}

/// The answer to `GET` with this `Range`, or without.
fn piece(whole: &Arc<Whole>, wanted: Option<&HeaderValue>) -> HttpResponse {
    let length = whole.length;
    let range = wanted.map(|wanted| range_of(wanted, length));
    let (status, bytes) = match &range {
        None => (StatusCode::OK, 0..length),
        Some(Some(range)) => (StatusCode::PARTIAL_CONTENT, range.clone()),
        Some(None) => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
    };
    let mut headers = headers_of(&whole.headers, bytes.end - bytes.start);
    let place = match status {
        StatusCode::PARTIAL_CONTENT => format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1),
        _ => format!("bytes */{length}"),
    };
    if range.is_some()
        && let Ok(place) = HeaderValue::try_from(place)
    {
        headers.insert(CONTENT_RANGE, place);
    }
    let body = StreamBody::new(whole.bytes(bytes).map_ok(Frame::data));
    let mut response = HttpResponse::new(HttpResponseBody::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn headers_of(headers: &HeaderMap, length: u64) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONTENT_RANGE);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers
}

/// `bytes=2-5`, `bytes=2-` or `bytes=-5` of a file of this length; `None` if nothing of that is in it.
fn range_of(wanted: &HeaderValue, length: u64) -> Option<Range<u64>> {
    let (start, end) = wanted.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (start, end) {
        ("", last) => length.saturating_sub(last.parse().ok()?)..length,
        (start, "") => start.parse().ok()?..length,
        (start, end) => start.parse().ok()?..end.parse::<u64>().ok()?.saturating_add(1).min(length),
    };
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_file() {
        let of = |text: &'static str| range_of(&HeaderValue::from_static(text), 10);
        assert_eq!(of("bytes=2-5"), Some(2..6));
        assert_eq!(of("bytes=2-50"), Some(2..10));
        assert_eq!(of("bytes=8-"), Some(8..10));
        assert_eq!(of("bytes=-3"), Some(7..10));
        assert_eq!(of("bytes=-30"), Some(0..10));
        assert_eq!(of("bytes=10-"), None);
    }
}
