//! What a request says of its client: who, from where, in which trace, and how it wants to wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use tidemill_engine::auth::Principal;
use tidemill_engine::units::Span;
use tidemill_engine::{Error, Origin, QueryId};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use super::respond::trailers;
use crate::listen::Connection;

/// A longer `User-Agent` is cut: it is kept with every query.
const MAX_CLIENT: usize = 200;

/// The longest `Idempotency-Key`.
const MAX_KEY: usize = 255;

/// What a request says of its client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) principal: Principal,
    pub(crate) origin: Origin,
    /// The id the client chose for its query.
    pub(crate) query_id: Option<QueryId>,
    pub(crate) preference: Preference,
    pub(crate) idempotency_key: Option<String>,
    /// Whether it reads trailers.
    pub(crate) trailers: bool,
    /// Cancelled when the server begins to stop.
    pub(crate) draining: CancellationToken,
}

/// The `Prefer` header (RFC 7240).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Preference {
    /// `respond-async`
    pub(crate) respond_async: bool,
    /// `wait=10`
    pub(crate) wait: Option<Duration>,
}

impl Preference {
    /// The value of `Preference-Applied`.
    pub(crate) fn applied(self) -> Option<HeaderValue> {
        match (self.respond_async, self.wait) {
            (true, _) => Some(HeaderValue::from_static("respond-async")),
            (false, Some(wait)) => HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok(),
            (false, None) => None,
        }
    }
}

impl Client {
    /// The trace that the request belongs to.
    pub(crate) fn trace_id(&self) -> Option<String> {
        self.origin.traceparent.as_deref().and_then(|parent| parent.split('-').nth(1)).map(str::to_owned)
    }

    /// Lets the client wait for something: at most this long, and no longer than the server goes on.
    pub(crate) async fn patience(&self, limit: Duration, awaited: impl Future<Output = ()>) {
        // Whichever comes first, the client is told how things stand.
        let _ = self.draining.run_until_cancelled(timeout(limit, awaited)).await;
    }

    /// The problem with a statement of this client.
    pub(crate) fn problem(&self, error: &Error) -> Problem {
        Problem::of_statement(error).traced(self.trace_id().as_deref())
    }

    /// The problem with the path of a request of this client.
    pub(crate) fn path_problem(&self, error: &Error) -> Problem {
        Problem::of_path(error).traced(self.trace_id().as_deref())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().cloned();
        let principal =
            principal.ok_or_else(|| Problem::of_path(&Error::internal("a route without authentication")))?;
        let headers = &parts.headers;
        let bad = |error: Error| Problem::of_statement(&error);
        let query_id = text(headers, "x-query-id").map(str::parse).transpose().map_err(bad)?;
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.to_string());
        let client = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let origin = Origin {
            door: Arc::from("http"),
            client: client.map(|client| Arc::from(&client[..client.floor_char_boundary(MAX_CLIENT)])),
            address: address.map(Arc::from),
            traceparent: text(headers, "traceparent").filter(|parent| is_traceparent(parent)).map(Arc::from),
        };
        let idempotency_key = text(headers, "idempotency-key").map(str::to_owned);
        if idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
            return Err(bad(Error::invalid(format!("an Idempotency-Key has 1 to {MAX_KEY} characters"))));
        }
        let preference = preference(headers).map_err(bad)?;
        let connection = parts.extensions.get::<Connection>();
        let draining = connection.map(|connection| connection.draining.clone()).unwrap_or_default();
        let trailers = trailers::wanted(parts.version, headers);
        Ok(Self { principal, origin, query_id, preference, idempotency_key, trailers, draining })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// `00-<32 hex>-<16 hex>-<2 hex>`; anything else is ignored, as the specification wants.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), [version, trace, parent, flags, ..]
        if hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && trace.bytes().any(|byte| byte != b'0'))
}

fn preference(headers: &HeaderMap) -> Result<Preference, Error> {
    let mut preference = Preference::default();
    for value in headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()) {
        for item in value.split(',').map(str::trim) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            match (name.trim().to_ascii_lowercase().as_str(), value.trim().trim_matches('"')) {
                ("respond-async", _) => preference.respond_async = true,
                ("wait", seconds) => {
                    let seconds: u64 = seconds.parse().map_err(|_| {
                        Error::invalid(format!("Prefer: wait={seconds} is not a whole number of seconds"))
                    })?;
                    preference.wait = Some(Duration::from_secs(seconds));
                }
                // Preferences that are not understood are ignored (RFC 7240, section 2).
                _ => {}
            }
        }
    }
    Ok(preference)
}

/// A time in a query string: `30s`, or a number of milliseconds.
pub(crate) fn wait(text: &str) -> Result<Duration, Error> {
    text.parse::<Span>().map(|span| span.0).map_err(Error::invalid)
}
