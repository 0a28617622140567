//! Which web sites may call the server through a user's browser.
//!
//! A browser adds credentials, or the mere reach of loopback, to requests that some page makes. Two attacks follow. A page can
//! post to `http://127.0.0.1:8080` (cross-site request forgery), so unsafe methods need a friendly `Origin`. And a page can
//! have its own name resolve to 127.0.0.1 (DNS rebinding), so a server on loopback answers only to names it knows. Clients
//! that are not browsers send neither `Origin` nor `Sec-Fetch-Site` and pass.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderName, ORIGIN,
    VARY,
};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidemill_engine::error::{Error, ErrorKind};

use super::Respond;
use crate::config::HttpConfig;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The state of [`guard_site`].
#[derive(Debug, Clone)]
pub(super) struct SitePolicy {
    origins: Arc<[String]>,
    /// Names besides those of loopback; none when every name is good.
    hosts: Option<Arc<[String]>>,
    respond: Respond,
}

impl SitePolicy {
    pub(super) fn new(config: &HttpConfig, respond: Respond) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let loopback = config.listen.is_loopback();
        Self {
            origins: lower(&config.cors_allowed_origins),
            hosts: loopback.then(|| lower(&config.allowed_hosts)),
            respond,
        }
    }

    fn check_host(&self, authority: &Authority) -> Result<(), Error> {
        let Some(hosts) = &self.hosts else { return Ok(()) };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let host = host.to_ascii_lowercase();
        let loopback = match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        if loopback || hosts.contains(&host) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Forbidden, format!("the server does not answer to the name '{host}'"))
            .hint("call it by localhost, or add the name to http.allowed_hosts"))
    }

    fn check_origin(&self, request: &Request, authority: Option<&Authority>) -> Result<(), Error> {
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE) {
            return Ok(());
        }
        let friendly = match request.headers().get(ORIGIN) {
            Some(origin) => {
                self.is_allowed(origin) || authority.is_some_and(|authority| is_same_origin(origin, authority))
            }
            None => match request.headers().get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
                None | Some(b"same-origin" | b"none") => true,
                Some(_) => false,
            },
        };
        if friendly {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Forbidden, "a page of another web site may not call this server")
            .hint("add the page's origin to http.cors_allowed_origins"))
    }

    fn is_allowed(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
    }
}

/// Middleware: answers 403 to foreign sites, and lets browsers read what allowed ones asked for (CORS).
pub(super) async fn guard_site(State(policy): State<SitePolicy>, request: Request, next: Next) -> Response {
    let authority = match authority(&request) {
        Ok(authority) => authority,
        Err(error) => return (policy.respond)(error, None),
    };
    let checked = authority.as_ref().map_or(Ok(()), |authority| policy.check_host(authority));
    if let Err(error) = checked.and_then(|()| policy.check_origin(&request, authority.as_ref())) {
        return (policy.respond)(error, None);
    }
    let origin = request.headers().get(ORIGIN).filter(|origin| policy.is_allowed(origin)).cloned();
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &origin {
        Some(_) if preflight => preflight_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    if !policy.origins.is_empty() {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
    response
}

fn preflight_response() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"),
        // The wildcard does not cover Authorization.
        (ACCESS_CONTROL_ALLOW_HEADERS, "*, authorization"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// The name that the client called: `:authority` of HTTP/2, else `Host`.
fn authority(request: &Request) -> Result<Option<Authority>, Error> {
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.clone()));
    }
    let Some(host) = request.headers().get(HOST) else { return Ok(None) };
    Authority::try_from(host.as_bytes()).map(Some).map_err(|_| Error::invalid("the Host header is not a host and port"))
}

/// Whether a page of this origin was served under this name. The scheme is not compared: a proxy may have ended TLS.
fn is_same_origin(origin: &HeaderValue, authority: &Authority) -> bool {
    let Some((scheme, origin)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
    let Ok(origin) = origin.parse::<Authority>() else { return false };
    let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    origin.host().eq_ignore_ascii_case(authority.host()) && port(&origin) == port(authority)
}
