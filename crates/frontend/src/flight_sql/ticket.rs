//! Tickets and session tokens: what the server hands out and only believes because it signed it.
//!
//! A ticket names a statement in the server, and a share of its result. It is bound to a principal and a time: what a client
//! forged, another principal's ticket and one whose time is over are refused alike before anything is looked up.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tidemill_engine::auth::{Principal, Role};
use tidemill_engine::{Error, ErrorKind, Subject};
use uuid::Uuid;

/// Session tokens begin with this, so that they are told from API tokens.
const TOKEN_PREFIX: &str = "tms1.";
const MAC_BYTES: usize = 32;
/// A block of SHA-256, which HMAC takes as it is.
const KEY_BYTES: usize = 64;

/// The key that signs; it lives as long as the process.
pub(crate) struct Key([u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Which statement, and which share of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) statement: Uuid,
    /// Which of the shares, counted from 0.
    pub(crate) share: u32,
    /// How many shares the result has.
    pub(crate) shares: u32,
    /// After this it is refused; in milliseconds.
    pub(crate) expires_at: DateTime<Utc>,
}

/// What a session token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SessionToken {
    pub(crate) session: String,
    name: String,
    role: Role,
}

impl SessionToken {
    pub(crate) fn new(session: &str, principal: &Principal) -> Self {
        Self { session: session.to_owned(), name: principal.name().to_owned(), role: principal.role() }
    }

    pub(crate) fn principal(&self) -> Principal {
        Principal::new(self.name.as_str(), self.role)
    }
}

impl Key {
    pub(crate) fn random() -> Self {
        let mut key = [0; KEY_BYTES];
        for chunk in key.chunks_exact_mut(16) {
            chunk.copy_from_slice(Uuid::new_v4().as_bytes());
        }
        Self(key)
    }

    /// The ticket as bytes that only this principal can redeem.
    pub(crate) fn seal(&self, ticket: Ticket, principal: &Principal) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(32 + MAC_BYTES);
        sealed.extend(ticket.statement.as_bytes());
        sealed.extend(ticket.share.to_be_bytes());
        sealed.extend(ticket.shares.to_be_bytes());
        sealed.extend(ticket.expires_at.timestamp_millis().to_be_bytes());
        let mac = self.mac(b"ticket", principal.name(), &sealed).finalize().into_bytes();
        sealed.extend(mac);
        sealed
    }

    /// The ticket in these bytes.
    ///
    /// # Errors
    /// `Forbidden` when it was altered or belongs to another principal, `NotFound` when its time is over.
    pub(crate) fn open(&self, sealed: &[u8], principal: &Principal) -> Result<Ticket, Error> {
        let refused = || {
            Error::new(ErrorKind::Forbidden, "the ticket is not one of this server's for you")
                .hint("get a new one by GetFlightInfo as the user who redeems it")
        };
        let (content, mac) = sealed.split_last_chunk::<MAC_BYTES>().ok_or_else(refused)?;
        self.mac(b"ticket", principal.name(), content).verify_slice(mac).map_err(|_| refused())?;
        let (statement, rest) = content.split_first_chunk::<16>().ok_or_else(refused)?;
        let (share, rest) = rest.split_first_chunk::<4>().ok_or_else(refused)?;
        let (shares, rest) = rest.split_first_chunk::<4>().ok_or_else(refused)?;
        let millis = rest.first_chunk::<8>().ok_or_else(refused)?;
        let expires_at = DateTime::from_timestamp_millis(i64::from_be_bytes(*millis)).ok_or_else(refused)?;
        if expires_at <= Utc::now() {
            return Err(Error::not_found(Subject::Result, "the ticket has expired")
                .hint("get a new one by GetFlightInfo, or renew it in time by RenewFlightEndpoint"));
        }
        Ok(Ticket {
            statement: Uuid::from_bytes(*statement),
            share: u32::from_be_bytes(*share),
            shares: u32::from_be_bytes(*shares),
            expires_at,
        })
    }

    /// A bearer token for a session.
    pub(crate) fn token(&self, token: &SessionToken) -> Result<String, Error> {
        let content = serde_json::to_vec(token)
            .map_err(|error| Error::internal("cannot write a session token").caused_by(error))?;
        let mac = self.mac(b"session", "", &content).finalize().into_bytes();
        let (content, mac) = (BASE64_URL_SAFE_NO_PAD.encode(content), BASE64_URL_SAFE_NO_PAD.encode(mac));
        Ok(format!("{TOKEN_PREFIX}{content}.{mac}"))
    }

    /// The session token in this text; none if it is no session token at all.
    ///
    /// # Errors
    /// `Unauthenticated` when it was forged, or signed by a server that has ended since.
    pub(crate) fn session(&self, text: &str) -> Option<Result<SessionToken, Error>> {
        let (content, mac) = text.strip_prefix(TOKEN_PREFIX)?.split_once('.')?;
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let opened = decode(content).zip(decode(mac)).and_then(|(content, mac)| {
            self.mac(b"session", "", &content).verify_slice(&mac).ok()?;
            serde_json::from_slice(&content).ok()
        });
        Some(opened.ok_or_else(|| {
            Error::new(ErrorKind::Unauthenticated, "the session token is not one of this server's")
                .about(Subject::Credentials)
                .hint("connect again")
        }))
    }

    /// Both the purpose and the name are part of what is signed, so that neither can be exchanged.
    fn mac(&self, purpose: &[u8], name: &str, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new((&self.0).into());
        for part in [purpose, name.as_bytes(), content] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn principal(name: &str) -> Principal {
        Principal::new(name, Role::Reader)
    }

    fn ticket(lives: TimeDelta) -> Ticket {
        let expires_at = DateTime::from_timestamp_millis((Utc::now() + lives).timestamp_millis()).unwrap();
        Ticket { statement: Uuid::new_v4(), share: 1, shares: 3, expires_at }
    }

    #[test]
    fn a_ticket_opens_for_its_principal_alone() {
        let key = Key::random();
        let ticket = ticket(TimeDelta::minutes(1));
        let sealed = key.seal(ticket, &principal("ann"));
        assert_eq!(key.open(&sealed, &principal("ann")).unwrap(), ticket);
        assert_eq!(key.open(&sealed, &principal("bob")).unwrap_err().kind(), ErrorKind::Forbidden);
        assert_eq!(Key::random().open(&sealed, &principal("ann")).unwrap_err().kind(), ErrorKind::Forbidden);
    }

    #[test]
    fn an_altered_ticket_is_refused() {
        let key = Key::random();
        let sealed = key.seal(ticket(TimeDelta::minutes(1)), &principal("ann"));
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(key.open(&forged, &principal("ann")).unwrap_err().kind(), ErrorKind::Forbidden, "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(key.open(&sealed[..length], &principal("ann")).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_ticket_ends() {
        let key = Key::random();
        let sealed = key.seal(ticket(TimeDelta::seconds(-1)), &principal("ann"));
        assert_eq!(key.open(&sealed, &principal("ann")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_session_token_is_believed_only_from_this_server() {
        let key = Key::random();
        let text = key.token(&SessionToken::new("some-session", &principal("ann"))).unwrap();
        let opened = key.session(&text).unwrap().unwrap();
        assert_eq!((opened.session.as_str(), opened.principal()), ("some-session", principal("ann")));
        assert!(Key::random().session(&text).unwrap().is_err());
        assert!(key.session("an-api-token").is_none());
    }
}
