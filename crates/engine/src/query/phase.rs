//! The life of a query as types: each phase is reached only from the one before it.
//!
//! ```text
//!            plan()            authorize()          admit()              run()
//! Received ─────────▶ Planned ─────────▶ Authorized ─────────▶ Admitted ─────────▶ QueryStream
//!    │                   │                   │                    │                    │
//!    │                   │                   │                    │        last batch ─┼─▶ finished
//!    └───────────────────┴───────────────────┴────────────────────┴── error, deadline ─┼─▶ failed
//!                                                                 dropped, cancelled ──┴─▶ cancelled
//! ```
//!
//! | phase | done | to do |
//! |---|---|---|
//! | `Received` | id, history row, cancel handle, deadline | parse, plan |
//! | `Planned` | statement classified, physical plan or command, tables touched | ask the policy |
//! | `Authorized` | the principal may do this | look into the cache, wait for a permit |
//! | `Admitted` | permit, memory share | run |
//!
//! `run` exists only on `Query<Admitted>` and `admit` only on `Query<Authorized>`, so that no statement skips policy or limits.
//! A query that is dropped in any phase is recorded as cancelled.

use std::sync::Arc;

use super::admission::{Admission, Permit};
use super::{Queries, QueryHandle, QueryState};
use crate::auth::{Principal, policy};
use crate::cache::{Recalled, ResultCache};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Action, Plan, StatementKind};
use crate::run::Runners;
use crate::session::Statement;
use crate::stream::QueryStream;

/// A query in one phase of its life.
#[derive(Debug)]
pub struct Query<Phase> {
    life: Life,
    phase: Phase,
}

/// Known to the registry, not planned.
#[derive(Debug)]
pub struct Received(Statement);

/// Planned; nobody asked yet whether it may run.
#[derive(Debug)]
pub struct Planned(Plan);

/// Allowed to run.
#[derive(Debug)]
pub struct Authorized(Plan);

/// Holds its permit; commands and looks at the server's own tables need none.
#[derive(Debug)]
pub struct Admitted(Plan, Option<Permit>);

impl Query<Received> {
    /// The query, for everybody else.
    pub(crate) fn handle(&self) -> &Arc<QueryHandle> {
        &self.life.handle
    }

    pub(crate) fn new(life: Life, statement: Statement) -> Self {
        Self { life, phase: Received(statement) }
    }

    /// Parses, classifies and plans the statement.
    pub(crate) async fn plan(self) -> Result<Query<Planned>> {
        let Self { life, phase: Received(statement) } = self;
        life.handle.enter(QueryState::Planning);
        let (session, handle) = (Arc::clone(&statement.session), Arc::clone(&life.handle));
        let work = session.engine().planning().run(async move { crate::plan::plan(statement, &handle).await });
        let outcome = life.handle.guard(work).await;
        let (life, plan) = life.keep(outcome)?;
        life.handle.set_kind(plan.kind.name());
        life.handle.meter().planned(plan.logical_text());
        Ok(Query { life, phase: Planned(plan) })
    }
}

impl Query<Planned> {
    /// Asks the policy.
    pub(crate) fn authorize(self, principal: &Principal) -> Result<Query<Authorized>> {
        let Self { life, phase: Planned(plan) } = self;
        let outcome = policy::authorize(principal, &plan.access);
        let (life, ()) = life.keep(outcome)?;
        Ok(Query { life, phase: Authorized(plan) })
    }
}

impl Query<Authorized> {
    /// Looks whether the answer is known already: then there is nothing left to run.
    pub(crate) fn recall(mut self, cache: &Arc<ResultCache>) -> Self {
        let Authorized(plan) = &mut self.phase;
        if plan.kind != StatementKind::Query {
            return self;
        }
        let asked = &self.life.handle.request().cache;
        let (outcome, recalled) = cache.recall(plan.identity.take().map(|identity| *identity), asked, &plan.schema);
        self.life.handle.set_cached(outcome);
        match recalled {
            Recalled::Run(recording) => plan.recording = recording,
            Recalled::Known(answer) => plan.action = Action::Recall(Some(answer)),
            Recalled::Unchanged => plan.action = Action::Recall(None),
        }
        self
    }

    /// Decides where it is computed.
    pub(crate) fn route(self, runners: &Runners) -> Result<Self> {
        let Self { life, phase: Authorized(mut plan) } = self;
        let outcome = runners.route(&plan);
        let (life, route) = life.keep(outcome)?;
        plan.route = route;
        Ok(Self { life, phase: Authorized(plan) })
    }

    /// Waits for a permit.
    pub(crate) async fn admit(self, admission: &Arc<Admission>) -> Result<Query<Admitted>> {
        let Self { life, phase: Authorized(plan) } = self;
        life.handle.enter(QueryState::Queued);
        if !plan.needs_permit() {
            return Ok(Query { life, phase: Admitted(plan, None) });
        }
        let outcome = admission.enter(life.handle.principal(), plan.priority as u8, plan.route.is_remote());
        let (life, ticket) = life.keep(outcome)?;
        life.handle.set_spot(ticket.spot());
        let outcome = life.handle.guard(ticket.permit()).await;
        let (life, permit) = life.keep(outcome)?;
        Ok(Query { life, phase: Admitted(plan, Some(permit)) })
    }
}

impl Query<Admitted> {
    /// Runs it; the rows arrive in the stream.
    pub(crate) fn run(self, runners: &Runners) -> Result<QueryStream> {
        let Self { life, phase: Admitted(mut plan, permit) } = self;
        plan.route = plan.route.settled(plan.settings.runner);
        life.handle.set_runner(plan.route.name(), plan.route.why_local());
        life.handle.enter(QueryState::Running);
        runners.launch(life, plan, permit)
    }
}

/// The query's place among the living. Whoever holds it must say how the query ended; dropping it says "cancelled".
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) handle: Arc<QueryHandle>,
    queries: Arc<Queries>,
    over: bool,
}

impl Life {
    pub(super) fn new(handle: Arc<QueryHandle>, queries: Arc<Queries>) -> Self {
        Self { handle, queries, over: false }
    }

    /// Every row was produced.
    pub(crate) fn finish(mut self) {
        self.end(None);
    }

    /// Ends with an error, and gives it back with the query's id in it.
    pub(crate) fn fail(mut self, error: Error) -> Error {
        let error = error.of_query(self.handle.id()).located(&self.handle.request().text());
        self.end(Some(&error));
        error
    }

    fn keep<T>(self, outcome: Result<T>) -> Result<(Self, T)> {
        match outcome {
            Ok(value) => Ok((self, value)),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn end(&mut self, error: Option<&Error>) {
        self.over = true;
        let state = match error.map(Error::kind) {
            None => QueryState::Finished,
            Some(ErrorKind::Cancelled) => QueryState::Cancelled,
            Some(_) => QueryState::Failed,
        };
        self.queries.ended(&self.handle, state, error);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !self.over {
            let error = self.handle.cancelled();
            self.end(Some(&error));
        }
    }
}
