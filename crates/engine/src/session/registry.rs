//! Named sessions: opening, finding, listing, closing, expiring.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{Session, SessionInfo};
use crate::auth::Principal;
use crate::config::SessionsConfig;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::query::draining;

/// All named sessions of the server.
#[derive(Debug)]
pub struct Sessions {
    config: SessionsConfig,
    open: RwLock<Open>,
}

#[derive(Debug, Default)]
struct Open {
    sessions: HashMap<String, Arc<Session>>,
    closed: bool,
}

impl Sessions {
    pub(crate) fn new(config: SessionsConfig) -> Self {
        Self { config, open: RwLock::default() }
    }

    /// Opens a session that stays until it is closed or idle for too long.
    pub fn open(&self, engine: &Arc<Engine>, principal: Principal) -> Result<Arc<Session>> {
        let session = engine.ephemeral_session(principal);
        let mut open = self.open.write();
        if open.closed {
            return Err(draining());
        }
        let own = open.sessions.values().filter(|other| other.principal() == session.principal()).count();
        for (count, limit, key) in [
            (open.sessions.len(), self.config.max, "sessions.max"),
            (own, self.config.max_per_principal, "sessions.max_per_principal"),
        ] {
            if count >= limit {
                return Err(Error::new(ErrorKind::Busy, format!("{count} sessions are open, as many as {key} allows"))
                    .about(Subject::Session)
                    .at_limit(limit as u64)
                    .hint("close sessions that are not needed, or wait until idle ones expire"));
            }
        }
        open.sessions.insert(session.id().to_owned(), Arc::clone(&session));
        Ok(session)
    }

    /// The session of this id. That of another principal is not found.
    pub fn get(&self, principal: &Principal, id: &str) -> Result<Arc<Session>> {
        let found = self.open.read().sessions.get(id).map(Arc::clone);
        let found = found.filter(|session| session.principal().name() == principal.name()).ok_or_else(missing)?;
        found.touch();
        Ok(found)
    }

    /// The principal's own sessions; all, for an admin.
    pub fn list(&self, principal: &Principal) -> Vec<SessionInfo> {
        let open: Vec<Arc<Session>> = self.open.read().sessions.values().map(Arc::clone).collect();
        let mut list: Vec<SessionInfo> = open
            .into_iter()
            .filter(|session| principal.may_manage(session.principal().name()))
            .map(|session| session.info())
            .collect();
        list.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        list
    }

    /// Closes a session and cancels its queries.
    pub fn close(&self, principal: &Principal, id: &str) -> Result<()> {
        let session = {
            let mut open = self.open.write();
            let found = open.sessions.get(id).filter(|session| principal.may_manage(session.principal().name()));
            if found.is_none() {
                return Err(missing());
            }
            open.sessions.remove(id)
        };
        if let Some(session) = session {
            session.engine().queries().cancel_session(session.id(), "its session was closed");
        }
        Ok(())
    }

    /// Closes sessions that nobody used for too long.
    pub(crate) fn expire(&self) {
        let Some(limit) = self.config.idle_timeout.limit() else { return };
        self.open.write().sessions.retain(|_, session| !session.idle_for(limit));
    }

    /// Open sessions.
    pub fn count(&self) -> usize {
        self.open.read().sessions.len()
    }

    /// Closes all, and the door behind them.
    pub(crate) fn close_all(&self) {
        let mut open = self.open.write();
        open.closed = true;
        open.sessions.clear();
    }
}

fn missing() -> Error {
    // The id is as good as a password, so it is not repeated.
    Error::not_found(Subject::Session, "session not found: it was closed, has expired, or is not yours")
        .hint("open a new session")
}
