//! Request lines and headers: not too long, not too many.
//!
//! The listener refuses them too, but only with a status; so it takes [`REFUSED_WITH_WORDS`] times as much as is allowed,
//! and what lies between is refused here, with the reason. What is no HTTP at all gets no more than a status.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use tidemill_engine::error::Error;
use tidemill_engine::units::ByteSize;

use super::Respond;
use crate::config::{HttpConfig, MAX_HEADERS};

/// What the listener takes, as a multiple of what is allowed.
pub(crate) const REFUSED_WITH_WORDS: usize = 2;

/// The least that is allowed, whatever the configuration says.
pub(crate) const MIN_BYTES: usize = 8192;

/// The state of [`limit_headers`].
#[derive(Debug, Clone, Copy)]
pub(super) struct HeaderLimits {
    max_bytes: usize,
    respond: Respond,
}

impl HeaderLimits {
    pub(super) fn new(config: &HttpConfig, respond: Respond) -> Self {
        let max_bytes = usize::try_from(config.max_header_bytes.0).unwrap_or(usize::MAX).max(MIN_BYTES);
        Self { max_bytes, respond }
    }

    fn check(&self, request: &Request) -> Result<(), Error> {
        let bytes = bytes_of(request);
        if bytes > self.max_bytes {
            let limit = ByteSize(self.max_bytes as u64);
            return Err(Error::invalid(format!("the request line and headers are longer than {limit}")).hint(
                "raise http.max_header_bytes of the server, or send less: a long statement belongs in the body",
            ));
        }
        if request.headers().len() > MAX_HEADERS {
            let count = request.headers().len();
            return Err(Error::invalid(format!("the request has {count} headers, more than {MAX_HEADERS}")));
        }
        Ok(())
    }
}

/// Middleware: answers 431.
pub(super) async fn limit_headers(State(limits): State<HeaderLimits>, request: Request, next: Next) -> Response {
    match limits.check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => (limits.respond)(error, Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)),
    }
}

/// As they stand in HTTP/1.1: `GET /path HTTP/1.1`, a line for each header, and an empty one.
fn bytes_of(request: &Request) -> usize {
    let line = request.method().as_str().len() + uri_bytes(request) + " HTTP/1.1 \r\n".len();
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>() + "\r\n".len()
}

fn uri_bytes(request: &Request) -> usize {
    request.uri().path_and_query().map_or(1, |path| path.as_str().len())
}
