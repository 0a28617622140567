//! Prepared statements: a text or a plan under a handle, and the parameters bound to it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{ActionCreatePreparedStatementResult, Any, ProstMessageExt};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use prost::Message;
use tidemill_engine::auth::Principal;
use tidemill_engine::{Description, Error, ErrorKind, QueryRequest, Session, StatementKind, Subject};
use uuid::Uuid;

use super::bound::Bound;
use super::caller::Caller;
use super::describe::schema_message;
use super::door::Door;
use super::failure::Result;
use super::messages::PreparedStatementResult;
use super::statements::Work;
use crate::config::FlightSqlConfig;

/// All prepared statements.
#[derive(Debug)]
pub(crate) struct PreparedStatements {
    config: Arc<FlightSqlConfig>,
    open: Mutex<HashMap<Uuid, Arc<Prepared>>>,
}

/// One prepared statement. It is planned at each run, so that it never runs against tables that are gone.
#[derive(Debug)]
pub(crate) struct Prepared {
    principal: Principal,
    pub(crate) session: Arc<Session>,
    request: QueryRequest,
    pub(crate) description: Description,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bound: Bound,
    last_used: DateTime<Utc>,
}

impl PreparedStatements {
    pub(crate) fn new(config: Arc<FlightSqlConfig>) -> Self {
        Self { config, open: Mutex::default() }
    }

    /// Opens a statement; those that nobody used for long are closed first.
    ///
    /// # Errors
    /// `Busy` when as many are open as the limits allow.
    pub(crate) fn open(&self, prepared: Prepared) -> Result<Uuid, Error> {
        let mut open = self.open.lock();
        let idle = TimeDelta::from_std(self.config.prepared_idle_timeout.0).unwrap_or(TimeDelta::MAX);
        let now = Utc::now();
        open.retain(|_, other| now - other.state.lock().last_used < idle);
        let own = open.values().filter(|other| other.principal.name() == prepared.principal.name()).count();
        for (count, limit, key) in [
            (open.len(), self.config.max_prepared, "max_prepared"),
            (own, self.config.max_prepared_per_principal, "max_prepared_per_principal"),
        ] {
            if count >= limit {
                let message = format!("{count} prepared statements are open, as many as flight_sql.{key} allows");
                return Err(Error::new(ErrorKind::Busy, message)
                    .about(Subject::Prepared)
                    .hint("close prepared statements that are not needed"));
            }
        }
        // The handle must not be guessed.
        let handle = Uuid::new_v4();
        open.insert(handle, Arc::new(prepared));
        Ok(handle)
    }

    /// The statement of this handle. That of another principal is not found.
    pub(crate) fn get(&self, caller: &Caller, handle: &[u8]) -> Result<Arc<Prepared>, Error> {
        let handle = Uuid::from_slice(handle).map_err(|_| missing())?;
        let found = self.open.lock().get(&handle).map(Arc::clone);
        let found =
            found.filter(|prepared| prepared.principal.name() == caller.principal.name()).ok_or_else(missing)?;
        found.state.lock().last_used = Utc::now();
        found.session.touch();
        Ok(found)
    }

    /// Closes a statement.
    pub(crate) fn close(&self, caller: &Caller, handle: &[u8]) -> Result<(), Error> {
        self.get(caller, handle)?;
        if let Ok(handle) = Uuid::from_slice(handle) {
            self.open.lock().remove(&handle);
        }
        Ok(())
    }

    /// Closes all of a session.
    pub(crate) fn close_session(&self, session: &str) {
        self.open.lock().retain(|_, prepared| prepared.session.id() != session);
    }
}

/// The message as it travels.
pub(crate) fn as_any(result: &PreparedStatementResult) -> Any {
    Any { type_url: ActionCreatePreparedStatementResult::type_url().to_owned(), value: result.encode_to_vec().into() }
}

impl Prepared {
    /// Binds rows of parameters, in the place of those bound before.
    pub(crate) fn bind(&self, rows: Bound) {
        self.state.lock().bound = rows;
    }

    /// What to run, with the parameters bound last.
    pub(crate) fn work(&self) -> Work {
        Work { request: self.request.clone(), rows: self.state.lock().bound.clone() }
    }

    /// What to run, with these parameters.
    pub(crate) fn work_with(&self, rows: Bound) -> Work {
        Work { request: self.request.clone(), rows }
    }
}

/// Prepares a statement.
pub(crate) async fn create(door: &Door, caller: &mut Caller, request: QueryRequest) -> Result<PreparedStatementResult> {
    let description = caller.session().describe(&request).await?;
    let opens_session = description.changes_session && !caller.has_named_session();
    if opens_session {
        caller.keep_session(door)?;
    }
    let is_update = is_update(&description);
    let dataset_schema = if is_update { bytes::Bytes::new() } else { schema_message(&description.schema)? };
    let parameter_schema = schema_message(&parameter_schema(&description))?;
    let handle = door.prepared.open(Prepared {
        principal: caller.principal.clone(),
        session: Arc::clone(caller.session()),
        request,
        description,
        state: Mutex::new(State { bound: Bound::default(), last_used: Utc::now() }),
    })?;
    Ok(PreparedStatementResult {
        prepared_statement_handle: handle.as_bytes().to_vec().into(),
        dataset_schema,
        parameter_schema,
        // Who has no session yet is told of it by an answer that drivers do not lose, which is that about a query.
        is_update: Some(is_update && !opens_session),
    })
}

/// Whether drivers should run it as an update: it answers with a count of rows, or with nothing.
fn is_update(description: &Description) -> bool {
    description.kind == StatementKind::Dml || description.schema.fields().is_empty()
}

/// A parameter whose type is not known has the type Null.
fn parameter_schema(description: &Description) -> Schema {
    let fields = description
        .parameters
        .iter()
        .map(|(name, data_type)| Field::new(name, data_type.clone().unwrap_or(DataType::Null), true));
    Schema::new(fields.collect::<Vec<_>>())
}

fn missing() -> Error {
    // A handle is as good as a password, so it is not repeated.
    Error::not_found(Subject::Prepared, "prepared statement not found: it was closed, has expired, or is not yours")
        .hint("prepare it again")
}
