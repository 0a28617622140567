//! The life of a worker: it joins, tells that it is there, and leaves when nobody needs it.

use std::sync::Arc;
use std::time::Duration;

use tidemill_engine::error::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status};

use super::Shared;
use super::link::{self, Link};
use super::measured::progress;
use super::membership::Membership;

/// How often the coordinator hears of a worker.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A coordinator that does not answer for so long has given the worker up, with all that it computes.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// How often a worker that is to leave looks whether it is still needed.
const LOOK: Duration = Duration::from_millis(200);
/// How long a worker waits before it tries to join again: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Why the worker is no member any more.
enum Ending {
    /// Nobody needs it.
    Left,
    /// The coordinator does not know it.
    Unknown(&'static str),
}

/// Joins, and joins again when it must, until the worker left.
pub(super) async fn live(shared: &Arc<Shared>, joined: impl Fn(&str)) -> Result<()> {
    loop {
        let membership = Membership::begin(shared).await?;
        *shared.current.write() = Some(Arc::clone(&membership));
        let link = Link::new(shared, &membership)?;
        let ending = match join(shared, &link).await? {
            None => Ending::Left,
            Some(()) => {
                membership.heard();
                tracing::info!(id = %membership.id, coordinator = %shared.config.coordinator, "joined");
                joined(&membership.id);
                attend(shared, &link, &membership).await?
            }
        };
        shared.current.write().take();
        membership.end().await;
        match ending {
            Ending::Left => return Ok(()),
            Ending::Unknown(why) => tracing::warn!(id = %membership.id, why, "joining again under a new id"),
        }
        if shared.draining.is_cancelled() {
            return Ok(());
        }
    }
}

/// Asks to be a member until the coordinator says yes or no; `None` when the worker is to stop meanwhile.
async fn join(shared: &Shared, link: &Link) -> Result<Option<()>> {
    let mut wait = FIRST_RETRY;
    let mut told = false;
    loop {
        let answer = tokio::select! {
            answer = link.join() => answer,
            () = shared.draining.cancelled() => return Ok(None),
        };
        let Err(status) = answer else { return Ok(Some(())) };
        if let Some(refusal) = refusal(shared, &status) {
            return Err(refusal);
        }
        if !told {
            let hint = link::mismatch(shared, &status).unwrap_or_default();
            let reason = link::reason(&status);
            tracing::warn!(coordinator = %shared.config.coordinator, %reason, hint, "can not join yet, trying on");
            told = true;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LAST_RETRY),
            () = shared.draining.cancelled() => return Ok(None),
        }
    }
}

/// The coordinator's no, which asking again does not change.
fn refusal(shared: &Shared, status: &Status) -> Option<Error> {
    let kind = match status.code() {
        _ if link::is_foreign(status) => ErrorKind::Unsupported,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::FailedPrecondition | Code::InvalidArgument => ErrorKind::Unsupported,
        _ => return None,
    };
    let coordinator = &shared.config.coordinator;
    let message = match link::mismatch(shared, status) {
        Some(why) => format!("{coordinator} does not take this worker: {why}"),
        None => format!("coordinator {coordinator} refuses this worker: {}", status.message()),
    };
    Some(Error::new(kind, message))
}

/// Tells again and again that the worker is there and how it is, until it is no member any more.
async fn attend(shared: &Shared, link: &Link, membership: &Membership) -> Result<Ending> {
    let mut leave_by = None;
    let mut next = Instant::now();
    loop {
        if shared.draining.is_cancelled() {
            let deadline = *leave_by.get_or_insert_with(|| Instant::now() + shared.config.drain_timeout);
            let is_needed = membership.jobs.tasks() > 0 || membership.jobs.count() > 0;
            if !is_needed || Instant::now() >= deadline {
                link.leave(if is_needed { "worker.drain_timeout has passed" } else { "drained" }).await;
                return Ok(Ending::Left);
            }
        }
        if Instant::now() >= next {
            next = Instant::now() + HEARTBEAT;
            match link.beat(&membership.report(shared)).await {
                Ok(true) => {
                    membership.heard();
                    link.progress(progress(&membership.id, &membership.jobs)).await;
                }
                Ok(false) => return Ok(Ending::Unknown("the coordinator does not know this worker")),
                Err(status) => {
                    if let Some(refusal) = refusal(shared, &status) {
                        return Err(refusal);
                    }
                    tracing::warn!(reason = %link::reason(&status), "the coordinator does not answer");
                    if membership.silence() > GIVEN_UP {
                        return Ok(Ending::Unknown("the coordinator did not answer for too long"));
                    }
                }
            }
        }
        let wake = leave_by.map_or(next, |deadline: Instant| next.min(deadline).min(Instant::now() + LOOK));
        tokio::select! {
            () = sleep_until(wake) => {}
            () = shared.changed.notified() => {
                if shared.draining.is_cancelled() && leave_by.is_none() {
                    // The coordinator must hear it before it sends another task.
                    next = Instant::now();
                }
            }
            () = membership.over.cancelled() => {
                if shared.draining.is_cancelled() {
                    link.leave("drained").await;
                    return Ok(Ending::Left);
                }
                return Ok(Ending::Unknown("the coordinator gave this worker up"));
            }
        }
    }
}
