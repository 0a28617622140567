//! The handle of a query that has not been forgotten yet: its state, its progress, and the way to cancel it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::admission::Spot;
use super::progress::Meter;
use super::{ErrorInfo, Event, Profile, QueryId, QueryInfo, QueryState, ResultInfo, Stages, Tasks, Timings};
use crate::cache::CacheOutcome;
use crate::error::{Error, ErrorKind, Result};
use crate::request::QueryRequest;
use crate::results::SpoolProgress;
use crate::run::Abort;

/// One query, for everybody but the query itself.
#[derive(Debug)]
pub struct QueryHandle {
    id: QueryId,
    request: QueryRequest,
    sql: String,
    principal: Arc<str>,
    session_id: Arc<str>,
    arrived: Instant,
    submitted_at: DateTime<Utc>,
    deadline: Option<Instant>,
    state: watch::Sender<QueryState>,
    events: broadcast::Sender<Event>,
    cancel: CancellationToken,
    /// Why it is cancelled: the error that ends it.
    reason: OnceLock<Error>,
    meter: Meter,
    /// Whether every row was handed out.
    complete: AtomicBool,
    live: Mutex<Live>,
}

/// What changes while the query lives.
#[derive(Debug, Default)]
struct Live {
    kind: Option<&'static str>,
    runner: Option<&'static str>,
    /// Why it runs in this process, if that has to be told.
    why_local: Option<String>,
    cached: Option<CacheOutcome>,
    /// Where it stands in the queue.
    spot: Option<Spot>,
    /// Absent while it is planned, and while it waits.
    planning: Option<Duration>,
    queued: Option<Duration>,
    running_since: Option<(Instant, DateTime<Utc>)>,
    ended: Option<(Instant, DateTime<Utc>)>,
    error: Option<Error>,
    result: Option<ResultInfo>,
    spool: Option<Arc<SpoolProgress>>,
}

impl Abort for QueryHandle {
    fn abort(&self, error: Error) {
        // The first reason is the one that is told.
        let _ = self.reason.set(error);
        self.cancel.cancel();
    }
}

impl QueryHandle {
    pub(super) fn new(
        id: QueryId,
        request: QueryRequest,
        sql: String,
        owner: (Arc<str>, Arc<str>),
        timeout: Option<Duration>,
        (events, max_tasks): (broadcast::Sender<Event>, usize),
    ) -> Self {
        let arrived = Instant::now();
        Self {
            id,
            request,
            sql,
            principal: owner.0,
            session_id: owner.1,
            arrived,
            submitted_at: Utc::now(),
            deadline: timeout.and_then(|timeout| arrived.checked_add(timeout)),
            state: watch::Sender::new(QueryState::Received),
            events,
            cancel: CancellationToken::new(),
            reason: OnceLock::new(),
            meter: Meter::new(Tasks::new(max_tasks)),
            complete: AtomicBool::new(false),
            live: Mutex::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> QueryId {
        self.id
    }

    /// Where it is in its life.
    pub fn state(&self) -> QueryState {
        *self.state.borrow()
    }

    /// The name of the principal who asked.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The session it runs in.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Returns when the state differs from `from`; at once if it does already.
    pub async fn changed(&self, from: QueryState) {
        // The sender lives in `self`, so that waiting can not fail.
        let _ = self.state.subscribe().wait_for(|state| *state != from).await;
    }

    /// Returns when the query has ended.
    pub async fn ended(&self) {
        let _ = self.state.subscribe().wait_for(|state| state.is_final()).await;
    }

    /// Asks the query to end. It does so within a moment, everywhere; asking twice or after the end does nothing.
    pub fn cancel(&self, reason: &str) {
        self.abort(Error::new(ErrorKind::Cancelled, format!("the query was cancelled: {reason}")));
    }

    /// Why it failed, once it has.
    pub fn error(&self) -> Option<Error> {
        self.live.lock().error.as_ref().map(|error| error.copied().of_query(self.id))
    }

    /// What it had of the cache; absent until it is authorized, and for statements that answer no question.
    pub fn cached(&self) -> Option<CacheOutcome> {
        self.live.lock().cached.clone()
    }

    /// Everything that can be said of it now.
    pub fn info(&self) -> QueryInfo {
        let live = self.live.lock();
        let origin = &self.request.origin;
        let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
        QueryInfo {
            id: self.id,
            state: self.state(),
            sql: self.sql.clone(),
            kind: live.kind.map(str::to_owned),
            principal: self.principal.to_string(),
            session_id: self.session_id.to_string(),
            door: origin.door.to_string(),
            client: text(&origin.client),
            address: text(&origin.address),
            traceparent: text(&origin.traceparent),
            tags: self.request.tags.clone(),
            queue_position: live.spot.as_ref().and_then(Spot::position),
            timings: self.timings(&live),
            progress: self.meter.progress(self.state()),
            error: live.error.as_ref().map(ErrorInfo::from),
            result: live.result.clone().or_else(|| live.spool.as_ref().map(|spool| spool.info())),
            runner: live.runner.map(str::to_owned),
            runner_reason: live.why_local.clone(),
            cache: live.cached.as_ref().map(|cached| cached.status),
        }
    }

    pub(crate) fn request(&self) -> &QueryRequest {
        &self.request
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Its stages and tasks, as they are now.
    pub fn stages(&self) -> Stages {
        self.meter.stages()
    }

    /// Its plans, and what the operators did so far.
    pub(super) fn profile(&self) -> Profile {
        let mut profile = self.meter.profile();
        if let Some(why) = self.why_local() {
            profile.profile = format!("{why}\n{}", profile.profile);
        }
        profile
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.cancel
    }

    pub(crate) fn set_kind(&self, kind: &'static str) {
        self.live.lock().kind = Some(kind);
    }

    pub(super) fn set_runner(&self, runner: &'static str, why_local: Option<String>) {
        let mut live = self.live.lock();
        (live.runner, live.why_local) = (Some(runner), why_local);
    }

    /// The runner that computes it; absent before it runs.
    pub(crate) fn runner(&self) -> Option<&'static str> {
        self.live.lock().runner
    }

    /// Why it runs in this process, if that has to be told.
    pub(crate) fn why_local(&self) -> Option<String> {
        self.live.lock().why_local.clone()
    }

    pub(super) fn set_cached(&self, cached: CacheOutcome) {
        self.live.lock().cached = Some(cached);
    }

    pub(super) fn set_spot(&self, spot: Option<Spot>) {
        self.live.lock().spot = spot;
    }

    /// Every row was handed out: the end of the stream is the end of the result.
    pub(crate) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Where the result is being kept.
    pub(crate) fn watch_result(&self, progress: Arc<SpoolProgress>) {
        self.live.lock().spool = Some(progress);
    }

    /// Tells where the kept result stands.
    pub(crate) fn set_result(&self, result: ResultInfo) {
        self.live.lock().result = Some(result);
    }

    /// Enters a state that is not final.
    pub(super) fn enter(&self, state: QueryState) {
        {
            let mut live = self.live.lock();
            let now = Instant::now();
            let since = now.duration_since(self.arrived);
            match state {
                QueryState::Queued => live.planning = Some(since),
                QueryState::Running => {
                    live.queued = Some(since.saturating_sub(live.planning.unwrap_or_default()));
                    live.running_since = Some((now, Utc::now()));
                    live.spot = None;
                }
                QueryState::Received
                | QueryState::Planning
                | QueryState::Finished
                | QueryState::Failed
                | QueryState::Cancelled => {}
            }
        }
        self.publish(state);
    }

    /// Notes how the query ended, without telling anybody yet; `false` if it had ended already.
    pub(super) fn conclude(&self, error: Option<&Error>) -> bool {
        let mut live = self.live.lock();
        if live.ended.is_some() {
            return false;
        }
        live.ended = Some((Instant::now(), Utc::now()));
        live.error = error.map(Error::copied);
        if error.is_some() {
            // What was spooled of it is deleted.
            live.spool = None;
            live.result = None;
        }
        live.spot = None;
        true
    }

    pub(super) fn publish(&self, state: QueryState) {
        self.state.send_replace(state);
        // Nobody listening is no failure.
        let _ = self.events.send(Event::Query { id: self.id, state });
    }

    fn timings(&self, live: &Live) -> Timings {
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let end = live.ended.map_or_else(Instant::now, |(end, _)| end);
        let running = live.running_since.map(|(start, _)| end.saturating_duration_since(start));
        let elapsed = end.saturating_duration_since(self.arrived);
        let planning = live.planning.unwrap_or(elapsed);
        Timings {
            submitted_at: self.submitted_at,
            started_at: live.running_since.map(|(_, at)| at),
            finished_at: live.ended.map(|(_, at)| at),
            planning_ms: millis(planning),
            queued_ms: millis(live.queued.unwrap_or_else(|| elapsed.saturating_sub(planning))),
            running_ms: millis(running.unwrap_or_default()),
            elapsed_ms: millis(elapsed),
        }
    }

    /// Runs a step of the query's life until it ends, the deadline passes or somebody cancels.
    pub(crate) async fn guard<T>(&self, step: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.cancelled()),
            () = self.timed_out() => Err(self.timeout()),
            outcome = step => outcome,
        }
    }

    /// Returns when the deadline has passed; never, if there is none.
    pub(crate) async fn timed_out(&self) {
        match self.deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn cancelled(&self) -> Error {
        let gone = || Error::new(ErrorKind::Cancelled, "the query was cancelled: the client went away");
        self.reason.get().map_or_else(gone, Error::copied)
    }

    pub(crate) fn timeout(&self) -> Error {
        timed_out(self.deadline.map_or(Duration::ZERO, |deadline| deadline.duration_since(self.arrived)))
    }
}

/// The error of what took longer than it may.
pub(crate) fn timed_out(allowed: Duration) -> Error {
    let allowed = TimeDelta::from_std(allowed).map(|delta| delta.num_milliseconds()).unwrap_or(i64::MAX);
    Error::new(ErrorKind::Timeout, format!("the query took longer than its limit of {allowed} ms"))
        .hint("raise statement_timeout, or ask for less")
}
