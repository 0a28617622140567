//! Who calls, and in which session.
//!
//! A session is found by the bearer token that the handshake gave, or by the cookie; never by the connection, because
//! balancers mix the connections of clients. A caller with neither gets a session for this one call, until something must
//! outlast the call (`SET`, session options): then a session is opened, and the answer carries its token in the header
//! `authorization`, which ADBC keeps, and its id in a cookie, which JDBC and ODBC keep. Until the client shows one of them,
//! answers about what it prepared in that session carry them again.

use std::net::SocketAddr;
use std::sync::Arc;

use arrow_flight::sql::SubstraitPlan;
use tidemill_engine::auth::Principal;
use tidemill_engine::{Error, ErrorKind, Origin, QueryRequest, Session, Source, Subject};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Request, Response};

use super::door::Door;
use super::failure::{Failure, Result};
use super::ticket::SessionToken;
use crate::gate::{Credentials, Gate, credentials};
use crate::listen::Connection;

/// The name that `Flight.proto` suggests.
const COOKIE: &str = "arrow_flight_session_id";
/// A longer `User-Agent` is cut: it is kept with every query.
const MAX_CLIENT: usize = 200;

/// Who calls, and in which session.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    session: Arc<Session>,
    /// Whether the session outlives the call.
    named: bool,
    /// The token of a session that this call opened or entered.
    issued: Option<String>,
    origin: Origin,
}

impl Caller {
    /// The caller of this request.
    ///
    /// # Errors
    /// `Unauthenticated` and what else the gate says; `NotFound` for the cookie of a session that has ended.
    pub(crate) async fn of<T>(door: &Door, request: &Request<T>) -> Result<Self> {
        let headers = request.metadata().as_ref();
        let origin = origin(request);
        let shown = match credentials(headers) {
            Ok(Credentials::Bearer(token)) => Some(token.expose().to_owned()),
            Ok(Credentials::Absent) => token_of_handshake(request.metadata()),
            _ => None,
        };
        if let Some(token) = shown.and_then(|shown| door.key.session(&shown)) {
            let token = token?;
            let principal = token.principal();
            let session = door.engine.sessions().get(&principal, &token.session).map_err(ended)?;
            return Ok(Self { principal, session, named: true, issued: None, origin });
        }
        let principal = principal(&door.gate, request).await?;
        match cookie(request.metadata()) {
            Some(id) => {
                let session = door.engine.sessions().get(&principal, &id).map_err(ended)?;
                Ok(Self { principal, session, named: true, issued: None, origin })
            }
            None => {
                let session = door.engine.ephemeral_session(principal.clone());
                Ok(Self { principal, session, named: false, issued: None, origin })
            }
        }
    }

    /// A caller that has just shown its credentials.
    pub(crate) fn new<T>(door: &Door, principal: Principal, request: &Request<T>) -> Self {
        let session = door.engine.ephemeral_session(principal.clone());
        Self { principal, session, named: false, issued: None, origin: origin(request) }
    }

    /// The token of a session that this call opened or entered.
    pub(crate) fn token(&self) -> Option<&str> {
        self.issued.as_deref()
    }

    /// Its session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whether the session outlives the call.
    pub(crate) fn has_named_session(&self) -> bool {
        self.named
    }

    /// Makes sure that the session outlives the call.
    ///
    /// # Errors
    /// `Busy` when as many sessions are open as the server allows.
    pub(crate) fn keep_session(&mut self, door: &Door) -> Result<()> {
        if self.named {
            return Ok(());
        }
        let session = door.engine.sessions().open(&door.engine, self.principal.clone())?;
        self.enter(door, session)
    }

    /// Enters the session of something that the caller has the handle of, unless it is in one.
    ///
    /// The token of a session that preparing opens travels in the headers of a stream, and drivers lose those: arrow-go
    /// passes over them when the end of the stream cancels its context before the reader has noticed the end. The headers
    /// of a call with one answer arrive.
    pub(crate) fn join(&mut self, door: &Door, session: &Session) -> Result<()> {
        if self.named {
            return Ok(());
        }
        match door.engine.sessions().get(&self.principal, session.id()) {
            Ok(open) => self.enter(door, open),
            // It ended with the call that made it, or since.
            Err(_) => Ok(()),
        }
    }

    fn enter(&mut self, door: &Door, session: Arc<Session>) -> Result<()> {
        self.issued = Some(door.key.token(&SessionToken::new(session.id(), &self.principal))?);
        self.session = session;
        self.named = true;
        Ok(())
    }

    /// A statement of this caller.
    pub(crate) fn request(&self, sql: &str) -> QueryRequest {
        QueryRequest { origin: self.origin.clone(), ..QueryRequest::sql(sql) }
    }

    /// A plan of this caller.
    pub(crate) fn substrait(&self, plan: Option<SubstraitPlan>) -> Result<QueryRequest> {
        let plan = plan.ok_or_else(|| Failure::malformed("the command has no plan"))?;
        Ok(QueryRequest { origin: self.origin.clone(), ..QueryRequest::of(Source::Substrait(plan.plan)) })
    }

    /// The answer, with the token and cookie of a session that the call opened or entered.
    pub(crate) fn respond<T>(&self, answer: T) -> Response<T> {
        let mut response = Response::new(answer);
        if let Some(token) = &self.issued {
            let metadata = response.metadata_mut();
            let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", self.session.id());
            for (name, text) in [("authorization", format!("Bearer {token}")), ("set-cookie", cookie)] {
                if let Ok(mut value) = AsciiMetadataValue::try_from(text) {
                    value.set_sensitive(true);
                    metadata.insert(name, value);
                }
            }
        }
        response
    }
}

/// Whom the credentials of a request stand for.
pub(crate) async fn principal<T>(gate: &Gate, request: &Request<T>) -> Result<Principal> {
    let peer = request.extensions().get::<Connection>().map(|connection| connection.peer.ip());
    let principal = gate.principal(request.metadata().as_ref(), peer).await;
    Ok(principal.map_err(|error| match (error.kind(), error.subject()) {
        // This is the code after which drivers ask for other credentials.
        (ErrorKind::Invalid, Some(Subject::Credentials)) => {
            Error::new(ErrorKind::Unauthenticated, error.message()).about(Subject::Credentials)
        }
        _ => error,
    })?)
}

/// A session that a client believes in and that is gone: it has to log in again.
fn ended(error: Error) -> Failure {
    if error.kind() != ErrorKind::NotFound {
        return Failure::from(error);
    }
    Failure::from(
        Error::new(ErrorKind::Unauthenticated, "the session was closed or has expired")
            .about(Subject::Session)
            .hint("connect again"),
    )
}

/// What clients show that logged in by the payload of the handshake.
fn token_of_handshake(metadata: &MetadataMap) -> Option<String> {
    let token = metadata.get_bin("auth-token-bin")?.to_bytes().ok()?;
    String::from_utf8(token.to_vec()).ok()
}

fn cookie(metadata: &MetadataMap) -> Option<String> {
    let values = metadata.get_all("cookie").into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.trim_matches('"').to_owned())
}

fn origin<T>(request: &Request<T>) -> Origin {
    let text = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
    let peer: Option<SocketAddr> = request.extensions().get::<Connection>().map(|connection| connection.peer);
    Origin {
        door: Arc::from("flight_sql"),
        client: text("user-agent").map(|client| Arc::from(&client[..client.floor_char_boundary(MAX_CLIENT)])),
        address: peer.map(|peer| Arc::from(peer.to_string())),
        traceparent: text("traceparent").map(Arc::from),
    }
}
