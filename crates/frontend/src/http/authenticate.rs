//! From the `Authorization` header to a [`Principal`], and a brake on guessing passwords.
//!
//! Only passwords are braked: a token holds too much entropy to be guessed and costs one SHA-256 to check. The brake counts
//! by address, so behind a reverse proxy one guesser can lock out the passwords of all; tokens then still work.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tidemill_engine::auth::{Authenticator, Principal, Secret};
use tidemill_engine::error::{Error, ErrorKind, Result, Subject};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::limits::Respond;

#[cfg(test)]
mod tests;
mod throttle;

use throttle::Throttle;

/// Paths that never ask for credentials: orchestrators probe them.
pub const PUBLIC_PATHS: [&str; 3] = ["/livez", "/readyz", "/version"];

/// How long a login waits for its turn to be checked.
const CHECK_WAIT: Duration = Duration::from_secs(10);

/// How hard logins are braked.
#[derive(Debug, Clone, Copy)]
pub struct LoginLimits {
    /// Failures with a password after which an address is refused for the rest of the minute; 0 means no bound.
    pub max_failures_per_minute: u32,
    /// Passwords checked at once.
    pub max_checks: usize,
}

/// The state of [`authenticate`]; clones share it.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    authenticator: Arc<Authenticator>,
    /// Exact paths that need no credentials.
    public: Vec<String>,
    checks: Semaphore,
    max_checks: usize,
    throttle: Throttle,
    respond: Respond,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("public", &self.0.public).finish_non_exhaustive()
    }
}

/// What a client showed.
enum Credentials {
    Absent,
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

impl Gate {
    /// Opens `public` paths (see [`PUBLIC_PATHS`]) to everybody and all others to whom the authenticator accepts.
    pub fn new(
        authenticator: Arc<Authenticator>,
        public: impl IntoIterator<Item: Into<String>>,
        limits: LoginLimits,
        respond: Respond,
    ) -> Self {
        Self(Arc::new(Inner {
            authenticator,
            public: public.into_iter().map(Into::into).collect(),
            checks: Semaphore::new(limits.max_checks.clamp(1, Semaphore::MAX_PERMITS)),
            max_checks: limits.max_checks,
            throttle: Throttle::new(limits.max_failures_per_minute),
            respond,
        }))
    }

    async fn principal(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Principal> {
        let authenticator = &self.0.authenticator;
        if !authenticator.required() {
            return authenticator.anonymous();
        }
        match credentials(headers)? {
            Credentials::Absent => authenticator.anonymous(),
            Credentials::Bearer(token) => authenticator.token(&token),
            Credentials::Basic { user, password } => self.check_password(&user, password, peer).await,
        }
    }

    async fn check_password(&self, user: &str, password: Secret, peer: Option<IpAddr>) -> Result<Principal> {
        let Inner { authenticator, checks, throttle, .. } = &*self.0;
        throttle.check(peer, Instant::now())?;
        // Who was let in before does not wait behind the checks of others, which are slow on purpose.
        if let Some(principal) = authenticator.remembered(user, &password) {
            return Ok(principal);
        }
        let turn = timeout(CHECK_WAIT, checks.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Error::new(ErrorKind::Busy, "too many logins are being checked")
                .retry_after(CHECK_WAIT)
                .at_limit(self.0.max_checks as u64));
        };
        // Again: a flood from one address waits in line before its first failure is known.
        throttle.check(peer, Instant::now())?;
        let checked = authenticator.password(user, password).await;
        if let Err(error) = &checked
            && error.kind() == ErrorKind::Unauthenticated
        {
            throttle.failed(peer, Instant::now());
            tracing::info!(peer = peer.map(tracing::field::display), "a login failed");
        }
        checked
    }
}

/// Middleware: puts the request's [`Principal`] into its extensions, or answers 400, 401 or 429.
pub async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if gate.0.public.iter().any(|path| path == request.uri().path()) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    match gate.principal(request.headers(), peer).await {
        Ok(principal) => {
            if let Some(header) = request.headers_mut().get_mut(AUTHORIZATION) {
                header.set_sensitive(true);
            }
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(error) => {
            let challenge = error.kind() == ErrorKind::Unauthenticated;
            let mut response = (gate.0.respond)(error, None);
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

fn credentials(headers: &HeaderMap) -> Result<Credentials> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Credentials::Absent) };
    if values.next().is_some() {
        return Err(malformed("the request has more than one Authorization header"));
    }
    let value = value.to_str().map_err(|_| malformed("the Authorization header is not ASCII text"))?;
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("Bearer") && !rest.is_empty() {
        Ok(Credentials::Bearer(Secret::new(rest)))
    } else if scheme.eq_ignore_ascii_case("Basic") {
        basic(rest).ok_or_else(|| malformed("the Basic credentials are not base64 of UTF-8 'user:password'"))
    } else {
        // The scheme is not repeated: a client that forgot the scheme put its secret there.
        Err(Error::new(ErrorKind::Unauthenticated, "the Authorization header is neither Basic nor Bearer")
            .about(Subject::Credentials))
    }
}

fn basic(encoded: &str) -> Option<Credentials> {
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) })
}

fn malformed(message: &str) -> Error {
    Error::invalid(message).about(Subject::Credentials)
}
