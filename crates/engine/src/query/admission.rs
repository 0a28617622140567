//! Admission: how many queries run at once, in the server and per principal, and who goes next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::config::{AdmissionConfig, WhenFull};
use crate::error::{Error, ErrorKind, Result};

/// Gives permits to run: highest priority first, then first come, first served; a principal at its own bound lets others pass.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: AdmissionConfig,
    running: usize,
    /// How many of these run in the cluster.
    running_remote: usize,
    running_by: HashMap<Arc<str>, usize>,
    queue: BTreeMap<Place, Waiter>,
    next_ticket: u64,
    closed: bool,
}

/// Where a query stands: the smaller, the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Counted down from the highest priority, so that the map's order is the queue's.
    rank: u8,
    ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    principal: Arc<str>,
    remote: bool,
    wake: oneshot::Sender<Permit>,
}

/// The right to run, held by everything that belongs to the query; dropping the last handle lets the next one run.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    principal: Arc<str>,
    /// Whether it is for a run in the cluster.
    remote: bool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.release(&self.principal, self.remote);
    }
}

/// A place in the queue; dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Arc<Admission>,
    place: Option<Place>,
    /// Whether it is for a run in the cluster.
    remote: bool,
    granted: oneshot::Receiver<Permit>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.admission.state.lock().queue.remove(&place);
        }
    }
}

/// A place in the queue, for whoever watches it.
#[derive(Debug)]
pub(crate) struct Spot {
    admission: Arc<Admission>,
    place: Place,
}

impl Spot {
    /// The position in the queue, from 1; `None` for who has left it.
    pub(crate) fn position(&self) -> Option<u64> {
        let state = self.admission.state.lock();
        state.queue.contains_key(&self.place).then(|| state.queue.range(..=self.place).count() as u64)
    }
}

impl Ticket {
    /// Where it stands; `None` when the permit was granted at once.
    pub(crate) fn spot(&self) -> Option<Spot> {
        self.place.map(|place| Spot { admission: Arc::clone(&self.admission), place })
    }

    /// Waits for the permit, at most as long as the queue's timeout.
    pub(crate) async fn permit(mut self) -> Result<Permit> {
        let limit = self.admission.state.lock().config.queue_timeout.limit();
        let granted = tokio::time::timeout(limit.unwrap_or(Duration::MAX), &mut self.granted).await;
        match granted {
            Ok(Ok(permit)) => {
                self.place = None;
                Ok(permit)
            }
            Ok(Err(_)) => Err(draining()),
            Err(_) => {
                let state = self.admission.state.lock();
                let (taken, limit) = state.taken(self.remote);
                let message = format!("the query waited for a permit longer than admission.queue_timeout: {taken}");
                Err(busy(&state.config, &message, limit, self.remote))
            }
        }
    }
}

impl Admission {
    pub(crate) fn new(config: AdmissionConfig) -> Arc<Self> {
        let state = State {
            config,
            running: 0,
            running_remote: 0,
            running_by: HashMap::new(),
            queue: BTreeMap::new(),
            next_ticket: 0,
            closed: false,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Takes up other bounds. Queries that run or wait keep their permits and places; those for whom there is room now go on.
    pub(crate) fn configure(self: &Arc<Self>, config: AdmissionConfig) {
        let mut state = self.state.lock();
        state.config = config;
        let granted = self.grant_waiting(&mut state);
        drop(state);
        wake(granted);
    }

    /// Joins the queue, or gets the permit at once when one is free. `remote` says that it is to run in the cluster.
    pub(crate) fn enter(self: &Arc<Self>, principal: &str, priority: u8, remote: bool) -> Result<Ticket> {
        let principal: Arc<str> = principal.into();
        let (wake, granted) = oneshot::channel();
        let mut state = self.state.lock();
        if state.closed {
            return Err(draining());
        }
        if state.free_for(&principal, remote) {
            let permit = self.grant(&mut state, &principal, remote);
            drop(state);
            // The receiver is in our hands, so that sending can not fail.
            let _ = wake.send(permit);
            return Ok(Ticket { admission: Arc::clone(self), place: None, remote, granted });
        }
        let config = &state.config;
        if config.when_full == WhenFull::Refuse {
            let (message, limit) = state.taken(remote);
            return Err(busy(config, message, limit, remote));
        }
        if state.queue.len() >= config.max_queued {
            let message = "the queue of waiting queries is full (admission.max_queued)";
            return Err(busy(config, message, config.max_queued, remote));
        }
        let place = Place { rank: u8::MAX - priority, ticket: state.next_ticket };
        state.next_ticket += 1;
        state.queue.insert(place, Waiter { principal, remote, wake });
        drop(state);
        Ok(Ticket { admission: Arc::clone(self), place: Some(place), remote, granted })
    }

    /// Queries that hold a permit.
    pub(crate) fn running(&self) -> usize {
        self.state.lock().running
    }

    /// Queries that wait for a permit to run in the cluster.
    pub(crate) fn queued_remote(&self) -> usize {
        self.state.lock().queue.values().filter(|waiter| waiter.remote).count()
    }

    /// Queries that wait for one.
    pub(crate) fn queued(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// Refuses new queries; those that wait still get their turn.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    fn grant(self: &Arc<Self>, state: &mut State, principal: &Arc<str>, remote: bool) -> Permit {
        state.running += 1;
        state.running_remote += usize::from(remote);
        *state.running_by.entry(Arc::clone(principal)).or_default() += 1;
        Permit { admission: Arc::clone(self), principal: Arc::clone(principal), remote }
    }

    fn release(self: &Arc<Self>, principal: &str, remote: bool) {
        let mut state = self.state.lock();
        state.running -= 1;
        state.running_remote -= usize::from(remote);
        if let Some(own) = state.running_by.get_mut(principal) {
            *own -= 1;
            if *own == 0 {
                state.running_by.remove(principal);
            }
        }
        let granted = self.grant_waiting(&mut state);
        drop(state);
        wake(granted);
    }

    /// Permits for those who wait, as far as there is room.
    fn grant_waiting(self: &Arc<Self>, state: &mut State) -> Vec<(oneshot::Sender<Permit>, Permit)> {
        let mut granted = Vec::new();
        while let Some(place) = state.next() {
            let Some(waiter) = state.queue.remove(&place) else { break };
            granted.push((waiter.wake, self.grant(state, &waiter.principal, waiter.remote)));
        }
        granted
    }
}

impl State {
    fn free_for(&self, principal: &str, remote: bool) -> bool {
        let own = self.running_by.get(principal).copied().unwrap_or(0);
        self.running < self.config.max_running
            && own < self.config.max_running_per_principal
            && (!remote || self.running_remote < self.config.max_running_in_cluster)
    }

    /// Which permits are taken, and how many there are of them.
    fn taken(&self, remote: bool) -> (&'static str, usize) {
        let config = &self.config;
        if remote && self.running_remote >= config.max_running_in_cluster {
            let message = "all permits to run queries in the cluster are taken (admission.max_running_in_cluster)";
            return (message, config.max_running_in_cluster);
        }
        let is_full = self.running >= config.max_running;
        let limit = if is_full { config.max_running } else { config.max_running_per_principal };
        ("all permits to run queries are taken (admission.max_running, admission.max_running_per_principal)", limit)
    }

    fn next(&self) -> Option<Place> {
        let free =
            |(place, waiter): (&Place, &Waiter)| self.free_for(&waiter.principal, waiter.remote).then_some(*place);
        self.queue.iter().find_map(free)
    }
}

/// To be called outside the lock: a waiter that is gone drops its permit, which comes back to the admission.
fn wake(granted: Vec<(oneshot::Sender<Permit>, Permit)>) {
    for (wake, permit) in granted {
        let _ = wake.send(permit);
    }
}

/// Refuses a query because `limit` others are there already.
fn busy(config: &AdmissionConfig, message: &str, limit: usize, remote: bool) -> Error {
    let mut hint = format!(
        "try again later; the server runs {} queries at once, {} of one principal",
        config.max_running, config.max_running_per_principal
    );
    if remote {
        hint.push_str(&format!(
            ", {} in the cluster; SET runner = 'local' waits for none of these",
            config.max_running_in_cluster
        ));
    }
    Error::new(ErrorKind::Busy, message).retry_after(Duration::from_secs(1)).at_limit(limit as u64).hint(hint)
}

pub(crate) fn draining() -> Error {
    Error::new(ErrorKind::Unavailable, "the server is shutting down").retry_after(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    fn admission(max_running: usize, per_principal: usize, max_queued: usize) -> Arc<Admission> {
        Admission::new(AdmissionConfig {
            max_running,
            max_running_per_principal: per_principal,
            max_running_in_cluster: 1,
            max_queued,
            queue_timeout: Span(Duration::from_secs(60)),
            when_full: WhenFull::Wait,
        })
    }

    #[tokio::test]
    async fn a_freed_permit_goes_to_the_highest_priority() {
        let admission = admission(1, 1, 10);
        let running = admission.enter("a", 5, false).unwrap().permit().await.unwrap();
        let low = admission.enter("b", 1, false).unwrap();
        let high = admission.enter("c", 9, false).unwrap();
        let position = |ticket: &Ticket| ticket.spot().and_then(|spot| spot.position());
        assert_eq!((position(&high), position(&low)), (Some(1), Some(2)));
        drop(running);
        let permit = high.permit().await.unwrap();
        assert_eq!((admission.running(), position(&low)), (1, Some(1)));
        drop(permit);
        low.permit().await.unwrap();
        assert_eq!(admission.running(), 0);
    }

    #[tokio::test]
    async fn a_principal_at_its_bound_lets_others_pass() {
        let admission = admission(2, 1, 10);
        let _running = admission.enter("a", 5, false).unwrap().permit().await.unwrap();
        let _waits = admission.enter("a", 9, false).unwrap();
        admission.enter("b", 1, false).unwrap().permit().await.unwrap();
    }

    #[tokio::test]
    async fn the_cluster_has_a_bound_of_its_own_and_lets_others_pass() {
        let admission = admission(2, 2, 10);
        let first = admission.enter("a", 5, true).unwrap().permit().await.unwrap();
        let waiting = admission.enter("a", 9, true).unwrap();
        let local = admission.enter("a", 1, false).unwrap().permit().await.unwrap();
        assert_eq!((admission.running(), admission.queued_remote()), (2, 1));
        drop(local);
        assert_eq!(admission.queued_remote(), 1, "a permit for this process is none for the cluster");
        drop(first);
        let _second = waiting.permit().await.unwrap();
        let config = admission.state.lock().config.clone();
        admission.configure(AdmissionConfig { when_full: WhenFull::Refuse, ..config });
        let refused = admission.enter("b", 5, true).unwrap_err();
        assert!(refused.message().contains("max_running_in_cluster"), "{refused}");
    }

    #[tokio::test]
    async fn leaving_the_queue_frees_the_place_and_a_lost_grant_comes_back() {
        let admission = admission(1, 1, 1);
        let running = admission.enter("a", 5, false).unwrap().permit().await.unwrap();
        let waiting = admission.enter("b", 5, false).unwrap();
        assert_eq!(admission.enter("c", 5, false).unwrap_err().kind(), ErrorKind::Busy);
        drop(running);
        assert_eq!(admission.running(), 1, "the permit waits in the ticket");
        drop(waiting);
        assert_eq!((admission.running(), admission.queued()), (0, 0));
    }

    #[tokio::test]
    async fn more_room_lets_those_go_on_who_wait() {
        let admission = admission(1, 5, 10);
        let _running = admission.enter("a", 5, false).unwrap().permit().await.unwrap();
        let waiting = admission.enter("a", 5, false).unwrap();
        let config = admission.state.lock().config.clone();
        admission.configure(AdmissionConfig { max_running: 2, ..config.clone() });
        let _second = waiting.permit().await.unwrap();
        assert_eq!((admission.running(), admission.queued()), (2, 0));
        admission.configure(AdmissionConfig { max_running: 1, when_full: WhenFull::Refuse, ..config });
        let refused = admission.enter("b", 5, false).unwrap_err();
        assert_eq!((refused.kind(), refused.limit()), (ErrorKind::Busy, Some(1)));
        assert_eq!(admission.running(), 2, "who runs goes on");
    }

    #[tokio::test]
    async fn the_queue_has_a_timeout() {
        let admission = admission(1, 1, 1);
        let config = admission.state.lock().config.clone();
        admission.configure(AdmissionConfig { queue_timeout: Span(Duration::from_millis(1)), ..config });
        let _running = admission.enter("a", 5, false).unwrap().permit().await.unwrap();
        let error = admission.enter("b", 5, false).unwrap().permit().await.unwrap_err();
        assert!(error.retryable() && error.message().contains("queue_timeout"));
        assert_eq!(admission.queued(), 0);
    }
}
