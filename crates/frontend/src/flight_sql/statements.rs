//! What tickets stand for: statements that were announced and can be run, again and again if they only read, once if not.
//!
//! A statement stays until its time is over. When as many are open as the limits allow, one more takes the place of the
//! oldest that is over: fetched, failed, given up or cancelled; if there is none, it is refused.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tidemill_engine::auth::Principal;
use tidemill_engine::{
    Error, ErrorKind, Parameters, QueryHandle, QueryId, QueryRequest, QueryState, QueryStream, Session, Subject,
};
use uuid::Uuid;

use super::bound::Bound;
use super::outcome::Once;
use crate::config::FlightSqlConfig;

pub(crate) type Batches = BoxStream<'static, Result<RecordBatch, Error>>;

/// All statements that tickets stand for.
#[derive(Debug)]
pub(crate) struct Statements {
    config: Arc<FlightSqlConfig>,
    open: Mutex<HashMap<Uuid, Arc<Statement>>>,
}

/// One statement that was announced.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Also the id of its first query.
    pub(crate) id: QueryId,
    pub(crate) principal: Principal,
    pub(crate) session: Arc<Session>,
    pub(crate) work: Work,
    pub(crate) schema: SchemaRef,
    /// How the work went, if it must not be repeated.
    pub(crate) once: Option<Once>,
    /// Its query, if that runs in the background and the engine keeps the result, under its id.
    pub(crate) kept: Option<Arc<QueryHandle>>,
    /// Whether any schema will do, because nobody was told one.
    any_schema: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    expires_at: DateTime<Utc>,
    /// Whether its first query was started.
    started: bool,
    /// Whether a query is being planned or waits for its turn.
    starting: bool,
    /// How many of its shares were fetched to the end.
    fetches: u32,
    /// Whether all were.
    fetched: bool,
    /// Why it must not run any more.
    cancelled: Option<String>,
    queries: Vec<Weak<QueryHandle>>,
}

/// What to run: a request, for each row of parameters if there are any.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) request: QueryRequest,
    pub(crate) rows: Bound,
}

impl Work {
    /// How often it runs.
    pub(crate) fn runs(&self) -> usize {
        if self.rows.is_empty() { 1 } else { self.rows.batches().iter().map(RecordBatch::num_rows).sum() }
    }

    /// The request of run `number`, counted from 0.
    pub(crate) fn request(&self, number: usize) -> Result<QueryRequest, Error> {
        let mut row = number;
        for batch in self.rows.batches() {
            if row < batch.num_rows() {
                return Ok(QueryRequest { parameters: Parameters::from_row(batch, row)?, ..self.request.clone() });
            }
            row -= batch.num_rows();
        }
        Ok(self.request.clone())
    }
}

impl Statements {
    pub(crate) fn new(config: Arc<FlightSqlConfig>) -> Self {
        Self { config, open: Mutex::default() }
    }

    /// Announces a statement.
    ///
    /// # Errors
    /// `Busy` when as many statements are open as the limits allow.
    pub(crate) fn open(&self, statement: Statement) -> Result<Arc<Statement>, Error> {
        let statement = Arc::new(statement);
        let mut open = self.open.lock();
        let now = Utc::now();
        open.retain(|_, other| other.expires_at() > now);
        self.make_room(&mut open, self.config.max_statements, "max_statements", |_| true)?;
        let own = |other: &Statement| other.principal.name() == statement.principal.name();
        self.make_room(&mut open, self.config.max_statements_per_principal, "max_statements_per_principal", own)?;
        open.insert(statement.id.as_uuid(), Arc::clone(&statement));
        Ok(statement)
    }

    fn make_room(
        &self,
        open: &mut HashMap<Uuid, Arc<Statement>>,
        limit: usize,
        key: &str,
        counts: impl Fn(&Statement) -> bool,
    ) -> Result<(), Error> {
        if open.len() < limit || open.values().filter(|other| counts(other)).count() < limit {
            return Ok(());
        }
        let over = open.values().filter(|other| counts(other) && other.is_over());
        let oldest = over.map(|other| other.id).min();
        match oldest {
            Some(id) => {
                open.remove(&id.as_uuid());
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::Busy,
                format!("{limit} statements wait for their results to be fetched, as many as flight_sql.{key} allows"),
            )
            .hint("fetch their results or cancel them")),
        }
    }

    /// The statement of an opened ticket.
    ///
    /// # Errors
    /// `NotFound` when its time is over.
    pub(crate) fn get(&self, id: Uuid) -> Result<Arc<Statement>, Error> {
        let found = self.open.lock().get(&id).map(Arc::clone);
        found.filter(|statement| statement.expires_at() > Utc::now()).ok_or_else(|| {
            Error::not_found(Subject::Result, "the statement of the ticket is no longer there")
                .hint("get a new ticket by GetFlightInfo")
        })
    }

    /// When a statement that is announced or renewed now ends.
    pub(crate) fn expiry(&self) -> DateTime<Utc> {
        let ttl = TimeDelta::from_std(self.config.ticket_ttl.0).unwrap_or(TimeDelta::MAX);
        let at = Utc::now().checked_add_signed(ttl).unwrap_or(DateTime::<Utc>::MAX_UTC);
        // Tickets carry milliseconds.
        DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
    }
}

/// While it lives, a query of the statement is being planned or waits for its turn.
struct Starts<'a>(&'a Statement);

impl Drop for Starts<'_> {
    fn drop(&mut self) {
        self.0.state.lock().starting = false;
    }
}

impl Statement {
    pub(crate) fn new(
        id: QueryId,
        session: Arc<Session>,
        work: Work,
        schema: SchemaRef,
        expires_at: DateTime<Utc>,
    ) -> Self {
        let state = State {
            expires_at,
            started: false,
            starting: false,
            fetches: 0,
            fetched: false,
            cancelled: None,
            queries: Vec::new(),
        };
        Self {
            id,
            principal: session.principal().clone(),
            session,
            work,
            schema,
            once: None,
            kept: None,
            any_schema: false,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn expires_at(&self) -> DateTime<Utc> {
        self.state.lock().expires_at
    }

    pub(crate) fn renew(&self, expires_at: DateTime<Utc>) {
        self.state.lock().expires_at = expires_at;
    }

    /// One that runs for its effects.
    pub(crate) fn of_any_schema(
        id: QueryId,
        session: Arc<Session>,
        work: Work,
        schema: SchemaRef,
        expires_at: DateTime<Utc>,
    ) -> Self {
        Self { any_schema: true, ..Self::new(id, session, work, schema, expires_at) }
    }

    /// Says which query computes it in the background.
    pub(crate) fn keep(&mut self, query: Arc<QueryHandle>) {
        let mut state = self.state.lock();
        state.started = true;
        state.queries.push(Arc::downgrade(&query));
        drop(state);
        self.kept = Some(query);
    }

    /// One of the shares of its result went to the client, to the end.
    pub(crate) fn fetched(&self, shares: u32) {
        let mut state = self.state.lock();
        state.fetches = state.fetches.saturating_add(1);
        state.fetched = state.fetches >= shares;
    }

    /// Whether nobody waits for it: what was begun and does not run any more, and a kept result that was fetched or failed.
    fn is_over(&self) -> bool {
        let state = self.state.lock();
        let runs = state.queries.iter().filter_map(Weak::upgrade).any(|query| !query.state().is_final());
        match &self.kept {
            Some(query) => !runs && (state.fetched || query.state() != QueryState::Finished),
            None => !runs && !state.starting && (state.started || state.cancelled.is_some()),
        }
    }

    /// Asks everything that runs for it to end, and lets nothing start any more; `false` if nothing ran or could run.
    pub(crate) fn cancel(&self, reason: &str) -> bool {
        let mut state = self.state.lock();
        let running: Vec<Arc<QueryHandle>> =
            state.queries.iter().filter_map(Weak::upgrade).filter(|query| !query.state().is_final()).collect();
        let waits = !state.started;
        if waits || !running.is_empty() {
            state.cancelled.get_or_insert_with(|| reason.to_owned());
        }
        for query in &running {
            query.cancel(reason);
        }
        waits || !running.is_empty()
    }

    /// Starts run `number`.
    pub(crate) async fn start(&self, number: usize) -> Result<QueryStream, Error> {
        let mut request = self.work.request(number)?;
        {
            let mut state = self.state.lock();
            if let Some(reason) = &state.cancelled {
                return Err(
                    Error::new(ErrorKind::Cancelled, format!("the query was cancelled: {reason}")).of_query(self.id)
                );
            }
            // The announced id is that of the first query; later ones have ids of their own.
            request.id = (!state.started && number == 0).then_some(self.id);
            (state.started, state.starting) = (true, true);
        }
        let _starts = Starts(self);
        let stream = self.session.query(request).await?;
        self.check_schema(&stream)?;
        let mut state = self.state.lock();
        state.queries.retain(|query| query.strong_count() > 0);
        state.queries.push(Arc::downgrade(stream.handle()));
        if let Some(reason) = &state.cancelled {
            stream.handle().cancel(reason);
        }
        Ok(stream)
    }

    /// Clients compare what they were announced with what comes.
    fn check_schema(&self, stream: &QueryStream) -> Result<(), Error> {
        let schema = stream.schema();
        let same = schema.fields().len() == self.schema.fields().len()
            && schema
                .fields()
                .iter()
                .zip(self.schema.fields())
                .all(|(now, then)| now.name() == then.name() && now.data_type() == then.data_type());
        if same || self.any_schema {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "a table changed after the result's schema was announced")
            .of_query(stream.id())
            .hint("ask for the result again"))
    }

    /// The rows of all its runs, one run after the other.
    pub(crate) async fn rows(self: &Arc<Self>) -> Result<Batches, Error> {
        let first = self.start(0).await?;
        let rest = stream::iter(1..self.work.runs());
        let this = Arc::clone(self);
        let rest = rest.then(move |number| {
            let this = Arc::clone(&this);
            async move { this.start(number).await }
        });
        Ok(first.chain(rest.try_flatten()).boxed())
    }
}
