//! From the `Authorization` header of a request to the [`Principal`](tidemill_engine::auth::Principal) in its extensions.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::Response;
use tidemill_engine::error::ErrorKind;

use super::limits::Respond;
use crate::gate::Gate;

#[cfg(test)]
mod tests;

/// Paths that never ask for credentials: orchestrators probe them.
pub const PUBLIC_PATHS: [&str; 3] = ["/livez", "/readyz", "/version"];

/// The state of [`authenticate`]; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    gate: Gate,
    /// Exact paths that need no credentials.
    public: Arc<[String]>,
    respond: Respond,
}

impl Entrance {
    /// Opens `public` paths (see [`PUBLIC_PATHS`]) to everybody and all others to whom the gate lets in.
    pub(crate) fn new(gate: Gate, public: impl IntoIterator<Item: Into<String>>, respond: Respond) -> Self {
        Self { gate, public: public.into_iter().map(Into::into).collect(), respond }
    }
}

/// Middleware: puts the request's principal into its extensions, or answers 400, 401 or 429.
pub(crate) async fn authenticate(State(entrance): State<Entrance>, mut request: Request, next: Next) -> Response {
    if entrance.public.iter().any(|path| path == request.uri().path()) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    match entrance.gate.principal(request.headers(), peer).await {
        Ok(principal) => {
            if let Some(header) = request.headers_mut().get_mut(AUTHORIZATION) {
                header.set_sensitive(true);
            }
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(error) => {
            let challenge = error.kind() == ErrorKind::Unauthenticated;
            let mut response = (entrance.respond)(error, None);
            if challenge && !response.headers().contains_key(WWW_AUTHENTICATE) {
                let headers = response.headers_mut();
                headers
                    .append(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="tidemill", charset="UTF-8""#));
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}
