//! Request bodies: not too large, not too slow.
//!
//! The limits sit in the body itself and leave a note when one is passed, so that the answer is ours whatever the route made
//! of the failed read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use tidemill_engine::error::{Error, ErrorKind};
use tidemill_engine::units::{ByteSize, Span};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::Respond;
use crate::config::HttpConfig;

/// The state of [`limit_body`].
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    max_bytes: u64,
    read_timeout: Duration,
    respond: Respond,
}

/// How long a client that sends too much may go on before it is answered.
const DISCARD_TIME: Duration = Duration::from_secs(5);

const WITHIN: u8 = 0;
const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;

impl BodyLimits {
    pub(super) fn new(config: &HttpConfig, respond: Respond) -> Self {
        Self { max_bytes: config.max_body_bytes.0, read_timeout: config.body_read_timeout.0, respond }
    }

    fn too_large(&self) -> Response {
        let limit = ByteSize(self.max_bytes);
        let error = Error::invalid(format!("the request body is larger than {limit}"))
            .hint("raise http.max_body_bytes of the server or send less");
        (self.respond)(error, Some(StatusCode::PAYLOAD_TOO_LARGE))
    }

    fn too_slow(&self) -> Response {
        let limit = Span(self.read_timeout);
        let error = Error::new(ErrorKind::Timeout, format!("the request body did not arrive within {limit}"));
        (self.respond)(error, Some(StatusCode::REQUEST_TIMEOUT))
    }
}

/// Middleware: answers 413 to a body that is too large and 408 to one that is too slow.
pub(super) async fn limit_body(State(limits): State<BodyLimits>, request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() > limits.max_bytes {
        // Who expects an answer before the body gets one; another would see a reset connection instead of the answer if the
        // bytes that it goes on to send were left unread.
        if !request.headers().contains_key(EXPECT) {
            discard(request.into_body()).await;
        }
        return limits.too_large();
    }
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let outcome = Arc::new(AtomicU8::new(WITHIN));
    let request = request.map(|body| {
        Body::new(Bounded {
            body,
            bytes_left: limits.max_bytes,
            patience_left: limits.read_timeout,
            waiting: None,
            outcome: Arc::clone(&outcome),
        })
    });
    let response = next.run(request).await;
    match outcome.load(Ordering::Relaxed) {
        TOO_LARGE => limits.too_large(),
        TOO_SLOW => limits.too_slow(),
        _ => response,
    }
}

/// Reads a body away, for a moment.
async fn discard(mut body: impl HttpBody + Unpin) {
    // Time may run out: then the client has been told to stop by all the means there are.
    let _ = timeout(DISCARD_TIME, async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

/// A route that answers without reading it leaves the rest to be read away: clients of HTTP/2 that are told to stop in the
/// middle of their request lose the answer.
struct Bounded {
    body: Body,
    bytes_left: u64,
    /// Counts only while we wait for the client, not while the client waits for the route.
    patience_left: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    outcome: Arc<AtomicU8>,
}

impl Bounded {
    fn fail(&mut self, outcome: u8, message: &'static str) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.outcome.store(outcome, Ordering::Relaxed);
        self.body = Body::empty();
        Poll::Ready(Some(Err(axum::Error::new(std::io::Error::other(message)))))
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let body = std::mem::replace(&mut self.body, Body::empty());
        if body.is_end_stream() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let rest = usize::try_from(self.bytes_left).unwrap_or(usize::MAX);
            runtime.spawn(discard(Limited::new(body, rest)));
        }
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let patience = self.patience_left;
            let (_, timer) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
            return match timer.as_mut().poll(cx) {
                Poll::Ready(()) => self.fail(TOO_SLOW, "the body is too slow"),
                Poll::Pending => Poll::Pending,
            };
        };
        if let Some((since, _)) = self.waiting.take() {
            self.patience_left = self.patience_left.saturating_sub(since.elapsed());
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.bytes_left.checked_sub(data.len() as u64) {
                Some(left) => self.bytes_left = left,
                None => return self.fail(TOO_LARGE, "the body is too large"),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
