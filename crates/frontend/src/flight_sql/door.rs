//! What every RPC needs.

use std::sync::Arc;

use tidemill_engine::Engine;

use super::bound::Account;
use super::prepared::PreparedStatements;
use super::statements::Statements;
use super::ticket::Key;
use crate::config::FlightSqlConfig;
use crate::gate::Gate;

/// What every RPC needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Door(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) gate: Gate,
    pub(crate) config: Arc<FlightSqlConfig>,
    /// Signs tickets and session tokens.
    pub(crate) key: Key,
    pub(crate) statements: Statements,
    /// What bound parameters take.
    pub(crate) bound: Account,
    pub(crate) prepared: PreparedStatements,
}

impl Door {
    pub(crate) fn new(engine: Arc<Engine>, gate: Gate, config: Arc<FlightSqlConfig>) -> Self {
        let statements = Statements::new(Arc::clone(&config));
        let bound = Account::new(&config);
        let prepared = PreparedStatements::new(Arc::clone(&config));
        Self(Arc::new(Inner { engine, gate, config, key: Key::random(), statements, bound, prepared }))
    }
}

impl std::ops::Deref for Door {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
