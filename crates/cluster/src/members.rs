//! The workers: who has joined, how each is, and who may get tasks.

mod binding;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::scheduler::ExecutorMetadata;
use ballista_scheduler::cluster::memory::InMemoryClusterState;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tidemill_engine::error::{Error, Result, Subject};
use tidemill_engine::run::{WorkerInfo, WorkerState};
use tokio::sync::watch;

use crate::jobs::Jobs;
use crate::join::Report;

/// Workers that are gone and still listed, and for how long.
const MAX_GONE: usize = 64;
const LISTED: Duration = Duration::from_secs(15 * 60);

/// How long a worker that another one could not read from gets no tasks, if there are others.
const SUSPICION: Duration = Duration::from_secs(30);

/// Ends jobs. The scheduler does; it is made after the members, who must be able to end jobs before it hears of a loss.
#[async_trait]
pub(crate) trait Ends: Send + Sync {
    /// Posts the end of the job; what is posted later is processed later.
    async fn end(&self, job: JobId);
}

/// The workers and their slots, as the scheduler sees them too.
pub(crate) struct Members {
    jobs: Arc<Jobs>,
    timeout: Duration,
    workers: Mutex<BTreeMap<String, Member>>,
    /// Ballista's own accounts of free slots and known workers.
    accounts: InMemoryClusterState,
    /// Held while tasks are bound and while a worker is taken out, so that no task is bound to one that is being taken out.
    binding: tokio::sync::Mutex<()>,
    ends: Mutex<Option<Weak<dyn Ends>>>,
    /// Slots of those who take tasks.
    slots: watch::Sender<u64>,
}

#[derive(Debug)]
struct Member {
    metadata: ExecutorMetadata,
    report: Report,
    gone: Option<Gone>,
    /// It said that it goes.
    leaving: bool,
    /// The coordinator was told to drain it.
    ordered_to_drain: bool,
    suspected: Option<Instant>,
    /// Slots that tasks occupy, by our own account.
    bound: u32,
    /// Slots that no running task explains, as of the last look.
    unexplained: u32,
    joined_at: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    heard: Instant,
}

/// How a worker went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// Without a word.
    Lost,
    /// It said so.
    Left,
}

impl Member {
    fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    fn drains(&self) -> bool {
        self.ordered_to_drain || self.report.draining
    }

    fn takes_tasks(&self) -> bool {
        !self.is_gone() && !self.drains()
    }

    fn is_suspected(&self) -> bool {
        self.suspected.is_some_and(|since| since.elapsed() < SUSPICION)
    }

    fn address(&self) -> String {
        format!("{}:{}", self.metadata.host, self.metadata.port)
    }

    fn info(&self) -> WorkerInfo {
        let slots = u64::from(self.metadata.specification.vcores);
        let state = match self.gone {
            Some(Gone::Lost) => WorkerState::Lost,
            Some(Gone::Left) => WorkerState::Left,
            None if self.drains() => WorkerState::Draining,
            None => WorkerState::Active,
        };
        // Who is gone uses nothing.
        let now = |used: u64| if self.is_gone() { 0 } else { used };
        WorkerInfo {
            id: self.metadata.id.clone(),
            address: Some(self.address()),
            state,
            version: self.report.version.clone(),
            slots,
            slots_free: if self.takes_tasks() { slots.saturating_sub(u64::from(self.bound)) } else { 0 },
            memory_bytes: self.report.memory_bytes,
            memory_used: now(self.report.memory_used),
            disk_bytes: self.report.disk_bytes,
            disk_used: now(self.report.disk_used),
            last_seen: self.last_seen,
            joined_at: self.joined_at,
            tasks_running: now(self.report.tasks_running),
        }
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("workers", &*self.workers.lock()).finish_non_exhaustive()
    }
}

/// How wide the cluster is for one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Width {
    pub(crate) slots: usize,
    pub(crate) workers: usize,
}

impl Members {
    pub(crate) fn new(jobs: Arc<Jobs>, timeout: Duration) -> Self {
        Self {
            jobs,
            timeout,
            workers: Mutex::default(),
            accounts: InMemoryClusterState::default(),
            binding: tokio::sync::Mutex::default(),
            ends: Mutex::default(),
            slots: watch::Sender::new(0),
        }
    }

    /// Who ends jobs from now on.
    pub(crate) fn ended_by(&self, ends: &Arc<dyn Ends>) {
        *self.ends.lock() = Some(Arc::downgrade(ends));
    }

    /// Takes in what a worker reports; whether it is a known one.
    pub(crate) fn heard(&self, id: &str, report: Report) -> bool {
        let mut workers = self.workers.lock();
        let Some(member) = workers.get_mut(id).filter(|member| !member.is_gone()) else { return false };
        (member.report, member.last_seen, member.heard) = (report, Utc::now(), Instant::now());
        let computes = member.report.tasks_running > 0;
        self.count(&workers);
        drop(workers);
        if computes {
            for job in self.jobs.all().iter().filter(|job| job.busy_workers().contains(id)) {
                job.touch();
            }
        }
        true
    }

    /// Every worker, those too that went not long ago.
    pub(crate) fn infos(&self) -> Vec<WorkerInfo> {
        let workers = self.workers.lock();
        let listed = workers.values().filter(|member| !member.is_gone() || member.heard.elapsed() < LISTED);
        listed.map(Member::info).collect()
    }

    /// Who was at this address.
    pub(crate) fn at(&self, host: &str, port: u16) -> Vec<String> {
        let workers = self.workers.lock();
        let there =
            workers.values().filter(|member| (member.metadata.host.as_str(), member.metadata.port) == (host, port));
        there.filter(|member| !member.is_gone()).map(|member| member.metadata.id.clone()).collect()
    }

    /// The worker says that it goes.
    pub(crate) fn leaves(&self, id: &str) {
        if let Some(member) = self.workers.lock().get_mut(id) {
            member.leaving = true;
        }
    }

    /// Slots of those who take tasks, free or not.
    pub(crate) fn slots(&self) -> u64 {
        *self.slots.borrow()
    }

    /// Whether a slot is free that a task could have.
    pub(crate) fn has_free_slots(&self) -> bool {
        self.infos().iter().any(|worker| worker.slots_free > 0)
    }

    /// How wide the cluster is for a query that starts now.
    pub(crate) fn width(&self) -> Width {
        let workers = self.workers.lock();
        let chosen = chosen(&workers);
        let slots = chosen.iter().filter_map(|id| workers.get(id)).map(|member| member.metadata.specification.vcores);
        Width { slots: slots.sum::<u32>() as usize, workers: chosen.len() }
    }

    /// Waits until somebody takes tasks, but not longer than `patience`; whether somebody does.
    pub(crate) async fn some(&self, patience: Duration) -> bool {
        let mut slots = self.slots.subscribe();
        tokio::time::timeout(patience, slots.wait_for(|slots| *slots > 0)).await.is_ok_and(|some| some.is_ok())
    }

    /// Gives the worker no more tasks.
    ///
    /// # Errors
    /// No worker has this id, or the one that had it is gone.
    pub(crate) fn drain(&self, id: &str) -> Result<ExecutorMetadata> {
        let mut workers = self.workers.lock();
        let member = workers.get_mut(id);
        let member = member.ok_or_else(|| Error::not_found(Subject::Node, format!("no worker has the id '{id}'")))?;
        if let Some(gone) = member.gone {
            let how = if gone == Gone::Left { "has left" } else { "is lost" };
            return Err(Error::not_found(Subject::Node, format!("the worker '{id}' {how} already")));
        }
        member.ordered_to_drain = true;
        let metadata = member.metadata.clone();
        self.count(&workers);
        Ok(metadata)
    }

    /// Another worker could not read from this one: for a while it gets tasks only if there is nobody else.
    pub(crate) fn suspect(&self, id: &str) {
        if let Some(member) = self.workers.lock().get_mut(id) {
            member.suspected = Some(Instant::now());
        }
    }

    /// Where the worker is reached, if it has not been lost.
    pub(crate) fn reach(&self, id: &str) -> Option<ExecutorMetadata> {
        self.workers.lock().get(id).filter(|member| !member.is_gone()).map(|member| member.metadata.clone())
    }

    /// Those who have been silent for too long.
    pub(crate) fn silent(&self) -> Vec<String> {
        let workers = self.workers.lock();
        let silent = workers.values().filter(|member| !member.is_gone() && member.heard.elapsed() >= self.timeout);
        silent.map(|member| member.metadata.id.clone()).collect()
    }

    /// Tells those who wait how many slots there are.
    fn count(&self, workers: &BTreeMap<String, Member>) {
        let active = workers.values().filter(|member| member.takes_tasks());
        let slots = active.map(|member| u64::from(member.metadata.specification.vcores)).sum();
        self.slots.send_if_modified(|known| std::mem::replace(known, slots) != slots);
    }
}

/// Those who get tasks: all who take them, without those under suspicion unless that leaves nobody.
fn chosen(workers: &BTreeMap<String, Member>) -> HashSet<String> {
    let active = || workers.iter().filter(|(_, member)| member.takes_tasks());
    let trusted: HashSet<String> =
        active().filter(|(_, member)| !member.is_suspected()).map(|(id, _)| id.clone()).collect();
    if trusted.is_empty() { active().map(|(id, _)| id.clone()).collect() } else { trusted }
}
