//! The quota of the work directory: Ballista's writers know none, so what they wrote is measured while tasks run, and when one has
//! ended that may have passed it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_engine::error::{Error, ErrorKind, Subject};
use tidemill_engine::units::ByteSize;

use super::Shared;
use super::membership::Membership;

/// Often enough that the quota is passed by little.
const PERIOD: Duration = Duration::from_millis(500);
/// Measuring takes this part of the time at most: a hundredth.
const SHARE: u32 = 100;

/// Ends the job that wrote most whenever all together wrote more than the quota, until the membership is over.
pub(super) fn watch(shared: &Arc<Shared>, membership: &Arc<Membership>) {
    let (quota, over) = (shared.config.quota, membership.over.clone());
    let membership = Arc::downgrade(membership);
    tokio::spawn(async move {
        let mut wait = PERIOD;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = over.cancelled() => return,
            }
            let Some(membership) = membership.upgrade() else { return };
            let Some(taken) = enforce(&membership, quota).await else { return };
            wait = PERIOD.max(taken * SHARE);
        }
    });
}

/// A task has written this much, before it was compressed.
pub(super) async fn written(shared: &Shared, membership: &Membership, bytes: u64) {
    let quota = shared.config.quota;
    if membership.folder.wrote(bytes) > quota.0 {
        // It took as long as it took.
        let _ = enforce(membership, quota).await;
    }
}

/// Measures once; how long it took, or `None` when there is nothing to measure any more.
async fn enforce(membership: &Membership, quota: ByteSize) -> Option<Duration> {
    if membership.jobs.count() == 0 && membership.folder.used() == 0 {
        return Some(Duration::ZERO);
    }
    let (folder, began) = (membership.folder.clone(), Instant::now());
    let sizes = tokio::task::spawn_blocking(move || folder.measure()).await.ok()?;
    let total: u64 = sizes.values().sum();
    if total > quota.0
        && let Some((job, bytes)) = sizes.into_iter().max_by_key(|(_, bytes)| *bytes)
    {
        membership.jobs.abort(&job, exceeded(&membership.id, total, bytes, quota));
    }
    Some(began.elapsed())
}

fn exceeded(worker: &str, total: u64, own: u64, quota: ByteSize) -> Error {
    let message = format!(
        "the work directory of worker {worker} is full: all queries together wrote {}, more than worker.work_dir_quota \
         ({quota}), and this one most ({})",
        ByteSize(total),
        ByteSize(own)
    );
    Error::new(ErrorKind::Resources, message)
        .about(Subject::Disk)
        .hint("narrow the query, add workers, or raise worker.work_dir_quota")
}
