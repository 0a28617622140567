//! Failed logins by client address, forgotten after a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tidemill_engine::error::{Error, ErrorKind, Result};
use tokio::time::Instant;

use crate::listen::peer_group;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered at once; past it the oldest is forgotten.
const MAX_ADDRESSES: usize = 4096;

/// Counts failures in fixed windows that begin with an address's first failure.
#[derive(Debug)]
pub(super) struct Throttle {
    max_failures: u32,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

impl Throttle {
    /// Refuses an address after so many failures in its window; 0 refuses none.
    pub(super) fn new(max_failures: u32) -> Self {
        Self { max_failures, failures: Mutex::default() }
    }

    /// Whether this client may try again now.
    ///
    /// # Errors
    /// `Busy`, with the time until it may.
    pub(super) fn check(&self, peer: Option<IpAddr>, now: Instant) -> Result<()> {
        let Some(peer) = peer.filter(|_| self.max_failures > 0) else { return Ok(()) };
        let failures = self.failures.lock();
        let Some(found) = failures.get(&peer_group(peer)) else { return Ok(()) };
        let left = WINDOW.saturating_sub(now.duration_since(found.since));
        if found.count < self.max_failures || left.is_zero() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "too many failed logins from your address")
            .retry_after(left)
            .at_limit(self.max_failures.into()))
    }

    /// One more failure. A success takes none back: whoever owns one password could otherwise guess others for ever.
    pub(super) fn failed(&self, peer: Option<IpAddr>, now: Instant) {
        let Some(peer) = peer.filter(|_| self.max_failures > 0).map(peer_group) else { return };
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_ADDRESSES && !failures.contains_key(&peer) {
            failures.retain(|_, entry| now.duration_since(entry.since) < WINDOW);
            let oldest = failures.iter().min_by_key(|(_, entry)| entry.since).map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| failures.len() >= MAX_ADDRESSES) {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(peer).or_insert_with(|| Failures { since: now, count: 0 });
        if now.duration_since(entry.since) >= WINDOW {
            *entry = Failures { since: now, count: 0 };
        }
        entry.count = entry.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_try_again_after_its_minute() {
        let throttle = Throttle::new(2);
        let guesser = Some(IpAddr::from([10, 0, 0, 1]));
        let start = Instant::now();
        throttle.failed(guesser, start);
        assert!(throttle.check(guesser, start).is_ok());
        throttle.failed(guesser, start);
        let error = throttle.check(guesser, start).unwrap_err();
        assert_eq!((error.kind(), error.retry_delay()), (ErrorKind::Busy, Some(WINDOW)));
        assert!(throttle.check(Some(IpAddr::from([10, 0, 0, 2])), start).is_ok());
        let later = start + WINDOW;
        assert!(throttle.check(guesser, later).is_ok());
        throttle.failed(guesser, later);
        assert!(throttle.check(guesser, later).is_ok());
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let throttle = Throttle::new(1);
        for address in 0..MAX_ADDRESSES as u32 + 100 {
            throttle.failed(Some(IpAddr::from(address.to_be_bytes())), Instant::now());
        }
        assert_eq!(throttle.failures.lock().len(), MAX_ADDRESSES);
    }
}
