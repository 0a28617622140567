//! What every request must respect before a route sees it: the size of its headers, the size and pace of its body, and the
//! site it comes from; and the headers that every response carries.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tidemill_engine::error::Error;

use crate::config::HttpConfig;

mod body;
pub(crate) mod headers;
mod site;
#[cfg(test)]
mod tests;

use body::{BodyLimits, limit_body};
use headers::{HeaderLimits, limit_headers};
use site::{SitePolicy, guard_site};

/// How an error becomes a response. The status is given where HTTP has a finer word than the kind of the error: 408, 413,
/// 431.
pub type Respond = fn(Error, Option<StatusCode>) -> Response;

/// Puts the limits around all routes; authentication belongs inside of them, because a browser sends its preflight request
/// without credentials.
pub fn protect(router: Router, config: &HttpConfig, respond: Respond) -> Router {
    router
        // axum's own limit of 2 MB answers in plain text; ours replaces it.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(BodyLimits::new(config, respond), limit_body))
        .layer(from_fn_with_state(SitePolicy::new(config, respond), guard_site))
        .layer(from_fn_with_state(HeaderLimits::new(config, respond), limit_headers))
        .layer(from_fn(secure_headers))
}

/// Puts the guard against foreign web sites around a door whose bodies have limits of their own.
pub fn guard(router: Router, config: &HttpConfig) -> Router {
    router
        .layer(from_fn_with_state(SitePolicy::new(config, super::respond_error), guard_site))
        .layer(from_fn_with_state(HeaderLimits::new(config, super::respond_error), limit_headers))
}

/// Headers that keep a browser from guessing, framing, leaking and storing; a route that knows better sets its own.
const SECURE_HEADERS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

async fn secure_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in SECURE_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
