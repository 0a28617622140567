//! From what a client shows to a [`Principal`], for every door that speaks HTTP, and a brake on guessing passwords.
//!
//! Only passwords are braked: a token holds too much entropy to be guessed and costs one SHA-256 to check. The brake counts
//! by address, so behind a reverse proxy one guesser can lock out the passwords of all; tokens then still work.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use tidemill_engine::auth::{Authenticator, Principal, Secret};
use tidemill_engine::error::{Error, ErrorKind, Result, Subject};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

mod throttle;

use throttle::Throttle;

/// Some drivers pad, some do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
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

/// Lets clients in, or not; clones share the brake.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    authenticator: Arc<Authenticator>,
    checks: Semaphore,
    max_checks: usize,
    throttle: Throttle,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("authenticator", &self.0.authenticator).finish_non_exhaustive()
    }
}

/// What a client showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    Absent,
    /// A user's name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Bearer(Secret),
}

impl Gate {
    /// Opens to whom the authenticator accepts.
    pub fn new(authenticator: Arc<Authenticator>, limits: LoginLimits) -> Self {
        Self(Arc::new(Inner {
            authenticator,
            checks: Semaphore::new(limits.max_checks.clamp(1, Semaphore::MAX_PERMITS)),
            max_checks: limits.max_checks,
            throttle: Throttle::new(limits.max_failures_per_minute),
        }))
    }

    /// Who sent a request with these headers.
    ///
    /// # Errors
    /// `Unauthenticated`; `Invalid` for credentials that are malformed; `Busy` for an address that guesses.
    pub async fn principal(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Principal> {
        let authenticator = &self.0.authenticator;
        if !authenticator.required() {
            return authenticator.anonymous();
        }
        self.check(credentials(headers)?, peer).await
    }

    /// Whom these credentials stand for.
    ///
    /// # Errors
    /// As [`Gate::principal`].
    pub async fn check(&self, credentials: Credentials, peer: Option<IpAddr>) -> Result<Principal> {
        let authenticator = &self.0.authenticator;
        match credentials {
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

/// What the `Authorization` header shows.
///
/// # Errors
/// `Invalid` when it is malformed, `Unauthenticated` when its scheme is neither Basic nor Bearer.
pub fn credentials(headers: &HeaderMap) -> Result<Credentials> {
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
    let text = String::from_utf8(BASE64.decode(encoded).ok()?).ok().filter(|text| !text.is_empty())?;
    // Some drivers leave the colon out before an empty password.
    let (user, password) = text.split_once(':').unwrap_or((&text, ""));
    Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) })
}

fn malformed(message: &str) -> Error {
    Error::invalid(message).about(Subject::Credentials)
}

#[cfg(test)]
mod tests {
    use tidemill_engine::auth::{AuthConfig, AuthMode, Role, UserConfig, hash_password};

    use super::*;

    #[tokio::test]
    async fn whoever_was_let_in_before_waits_for_nobody() {
        let password_hash = hash_password(&Secret::new("correct: horse")).unwrap();
        let users = vec![UserConfig { name: "ann".into(), password_hash, role: Role::Writer }];
        let config = AuthConfig { mode: AuthMode::Static, users, tokens: Vec::new() };
        let authenticator = Arc::new(Authenticator::new(config).unwrap());
        let gate = Gate::new(authenticator, LoginLimits { max_failures_per_minute: 10, max_checks: 2 });
        let known = || Credentials::Basic { user: "ann".to_owned(), password: Secret::new("correct: horse") };
        assert_eq!(gate.check(known(), None).await.unwrap().name(), "ann");
        let _all_turns = gate.0.checks.acquire_many(2).await.unwrap();
        assert_eq!(gate.check(known(), None).await.unwrap().name(), "ann");
    }
}
