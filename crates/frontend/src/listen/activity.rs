//! What a connection is doing, and how long it may go on doing it.
//!
//! ```text
//!           first byte           headers read          last response sent
//!   Idle ───────────────► Head ───────────────► Busy ─────────────────────► Idle
//!     └ idle_timeout        └ header_read_timeout  └ no bound, but write_timeout when the client does not read
//! ```
//! A new connection starts in `Head`: whoever connects has a request at hand. HTTP/2 has no `Head`, since its bytes are
//! not only requests.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How long each phase may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) header_read: Duration,
    pub(super) idle: Option<Duration>,
    pub(super) write: Option<Duration>,
}

/// How long an idle client may take to hang up after it was told to.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// What to do with a connection whose time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Tell the client to close: there is no request in flight.
    Close,
    /// Drop it, for this reason.
    Drop(&'static str),
}

#[derive(Debug)]
struct State {
    requests: usize,
    /// Since when there is no request, or since when its headers arrive.
    since: Instant,
    reading_head: bool,
    multiplexed: bool,
    write_blocked: Option<Instant>,
    closing: Option<Instant>,
}

/// The phase of one connection, shared by its transport, its requests and its timer.
#[derive(Debug)]
pub(super) struct Activity {
    timeouts: Timeouts,
    state: Mutex<State>,
    changed: Notify,
}

/// A request in flight; dropping it ends the request.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Activity {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        let state = State {
            requests: 0,
            since: Instant::now(),
            reading_head: true,
            multiplexed: false,
            write_blocked: None,
            closing: None,
        };
        Self { timeouts, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Bytes arrived; `first` are those of a new connection.
    pub(super) fn received(&self, bytes: &[u8], first: bool) {
        let mut state = self.state.lock();
        // "PRI" begins the preface of HTTP/2 and no method of HTTP/1.1.
        state.multiplexed |= first && bytes.starts_with(b"PRI");
        if state.requests == 0 && !state.reading_head && !state.multiplexed {
            state.reading_head = true;
            state.since = Instant::now();
            self.changed.notify_one();
        }
    }

    /// The client took bytes (`blocked` false) or did not (`blocked` true).
    pub(super) fn wrote(&self, blocked: bool) {
        let mut state = self.state.lock();
        if !blocked {
            state.write_blocked = None;
        } else if state.write_blocked.is_none() {
            state.write_blocked = Some(Instant::now());
            self.changed.notify_one();
        }
    }

    /// A request begins.
    pub(super) fn enter(self: &Arc<Self>, multiplexed: bool) -> InFlight {
        let mut state = self.state.lock();
        state.requests += 1;
        state.multiplexed |= multiplexed;
        state.reading_head = false;
        InFlight(Arc::clone(self))
    }

    /// The client was told to close.
    pub(super) fn closing(&self) {
        self.state.lock().closing.get_or_insert_with(Instant::now);
        self.changed.notify_one();
    }

    /// Waits until the connection's time is up.
    pub(super) async fn expired(&self) -> Verdict {
        loop {
            let changed = self.changed.notified();
            let next = self.next_deadline();
            match next {
                Some((deadline, verdict)) if deadline <= Instant::now() => return verdict,
                Some((deadline, _)) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(deadline) => {}
                },
                None => changed.await,
            }
        }
    }

    fn next_deadline(&self) -> Option<(Instant, Verdict)> {
        let state = self.state.lock();
        let write = state.write_blocked.zip(self.timeouts.write);
        let write = write.map(|(since, limit)| (since + limit, Verdict::Drop("the client does not read")));
        if state.requests > 0 {
            return write;
        }
        let phase = if let Some(since) = state.closing {
            Some((since.max(state.since) + CLOSE_GRACE, Verdict::Drop("the client does not close")))
        } else if state.reading_head && !state.multiplexed {
            Some((state.since + self.timeouts.header_read, Verdict::Drop("the request's headers did not arrive")))
        } else {
            self.timeouts.idle.map(|limit| (state.since + limit, Verdict::Close))
        };
        write.into_iter().chain(phase).min_by_key(|(deadline, _)| *deadline)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.requests -= 1;
        if state.requests == 0 {
            state.since = Instant::now();
            self.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        header_read: Duration::from_secs(10),
        idle: Some(Duration::from_secs(60)),
        write: Some(Duration::from_secs(300)),
    };

    /// How long the phase may last from its beginning, and what follows.
    fn bound(activity: &Activity) -> Option<(u64, Verdict)> {
        let (deadline, verdict) = activity.next_deadline()?;
        let state = activity.state.lock();
        let since = state.write_blocked.unwrap_or(state.since);
        Some((deadline.duration_since(since).as_secs(), verdict))
    }

    #[test]
    fn each_phase_has_its_own_bound() {
        let activity = Arc::new(Activity::new(TIMEOUTS));
        assert!(matches!(bound(&activity), Some((10, Verdict::Drop(_)))));
        drop(activity.enter(false));
        assert_eq!(bound(&activity), Some((60, Verdict::Close)));
        activity.received(b"G", false);
        assert!(matches!(bound(&activity), Some((10, Verdict::Drop(_)))));
        let request = activity.enter(false);
        assert_eq!(bound(&activity), None);
        activity.wrote(true);
        assert!(matches!(bound(&activity), Some((300, Verdict::Drop(_)))));
        activity.wrote(false);
        assert_eq!(bound(&activity), None);
        drop(request);
    }

    #[test]
    fn an_http2_client_may_wait_before_its_first_request() {
        let activity = Activity::new(TIMEOUTS);
        activity.received(b"PRI * HTTP/2.0\r\n", true);
        assert_eq!(bound(&activity), Some((60, Verdict::Close)));
    }
}
