//! Results of statements that only read, kept in memory for whoever asks the same again.
//!
//! ```text
//! Planner    Watch::begin      is the answer a matter of the tables alone?         plan/identity
//!            Sources           what the scans will read, noted as they are planned  sources
//!            Identity          statement and version of what it reads               identity
//! Query      recall            after the policy, before the permit                  this file, shelf
//! Runner     Recording         keeps the batches on their way to the client         recording
//! ```
//!
//! Invariant: an answer from here equals that of a fresh run, unless the client allowed it to be older. So the identity holds
//! everything that the answer depends on: the statement and its values, the plan with the views in it, the settings, the
//! principal, and for each table a version that changes with the rows. What has no such version is kept only for clients
//! that allow age. Whoever may not run the statement never gets here: it is planned and authorized before.

mod digest;
mod identity;
mod outcome;
mod recording;
mod shelf;
mod sources;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryPool;
use parking_lot::Mutex;
use serde::Serialize;

pub(crate) use digest::{Digester, Fingerprint};
pub(crate) use identity::Identity;
pub use outcome::{CacheMode, CacheOutcome, CacheRequest, CacheStatus};
pub(crate) use recording::Recording;
pub(crate) use shelf::Answer;
use shelf::Shelf;
pub(crate) use sources::{Source, Sources};

use crate::config::CacheConfig;
use crate::run::{AccountedPool, Relief};

/// The results that are kept, bounded by the memory they are accounted with.
#[derive(Debug)]
pub struct ResultCache {
    config: CacheConfig,
    account: Arc<AccountedPool>,
    shelf: Mutex<Shelf>,
    evicted: AtomicU64,
    /// How often each status was given, in the order of [`CacheStatus::ALL`].
    given: [AtomicU64; CacheStatus::ALL.len()],
}

/// How the cache is, in numbers.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct CacheUsage {
    /// Results that are kept.
    pub entries: u64,
    /// Bytes of memory that kept results, and those being recorded, are accounted with.
    pub bytes: u64,
    /// Results that gave way to others or to queries.
    pub evicted: u64,
    /// How often each status was given, in the order of [`CacheStatus::ALL`].
    pub given: [u64; CacheStatus::ALL.len()],
}

/// What becomes of a query that asks.
#[derive(Debug)]
pub(crate) enum Recalled {
    /// It runs; if there is a recording, its result is kept.
    Run(Option<Box<Recording>>),
    /// This is the answer.
    Known(Arc<Answer>),
    /// The client has the answer.
    Unchanged,
}

impl ResultCache {
    /// An empty cache that accounts its bytes with `account`.
    pub(crate) fn new(config: CacheConfig, account: Arc<AccountedPool>) -> Arc<Self> {
        let shelf = Mutex::new(Shelf::new(config.ttl.limit()));
        Arc::new(Self { config, account, shelf, evicted: AtomicU64::new(0), given: Default::default() })
    }

    /// What holds for a request: what it asks for, else what its session does by default.
    pub(crate) fn mode(&self, asked: Option<CacheMode>, by_default: bool) -> CacheMode {
        match asked {
            _ if !self.config.enabled => CacheMode::Off,
            Some(mode) => mode,
            None if by_default => CacheMode::Use,
            None => CacheMode::Off,
        }
    }

    /// How long a file must have been left alone for its version to be trusted.
    pub(crate) fn min_file_age(&self) -> Duration {
        self.config.min_file_age.0
    }

    /// Looks for the answer of an authorized statement whose result has this schema. A statement without an identity is not
    /// for the cache.
    pub(crate) fn recall(
        self: &Arc<Self>,
        identity: Option<Identity>,
        asked: &CacheRequest,
        schema: &SchemaRef,
    ) -> (CacheOutcome, Recalled) {
        let (outcome, recalled) = match identity {
            Some(identity) => self.look(identity, asked, schema),
            None => (CacheOutcome::of(CacheStatus::Bypass), Recalled::Run(None)),
        };
        self.given[outcome.status as usize].fetch_add(1, Ordering::Relaxed);
        (outcome, recalled)
    }

    fn look(
        self: &Arc<Self>,
        identity: Identity,
        asked: &CacheRequest,
        schema: &SchemaRef,
    ) -> (CacheOutcome, Recalled) {
        let current = identity.validator();
        let has = |validator: &Option<String>| validator.as_ref().is_some_and(|own| asked.known.contains(own));
        if asked.mode != Some(CacheMode::Refresh) {
            if has(&current) {
                let outcome =
                    CacheOutcome { validator: current, unchanged: true, ..CacheOutcome::of(CacheStatus::Hit) };
                return (outcome, Recalled::Unchanged);
            }
            let held = self.shelf.lock().get(&identity.statement).filter(|answer| answer.schema == *schema);
            if let Some(answer) = held
                && let Some(status) = usable(&answer, &identity, asked.max_staleness)
            {
                let validator = answer.identity.validator();
                let unchanged = has(&validator);
                let outcome = CacheOutcome { status, validator, age: Some(answer.age()), unchanged };
                return (outcome, if unchanged { Recalled::Unchanged } else { Recalled::Known(answer) });
            }
        }
        if current.is_none() && asked.max_staleness.is_zero() {
            // It is for those who allow age, and this client does not.
            return (CacheOutcome::of(CacheStatus::Bypass), Recalled::Run(None));
        }
        let recording = Recording::begin(Arc::clone(self), identity, Arc::clone(schema));
        let outcome = CacheOutcome { validator: current, ..CacheOutcome::of(CacheStatus::Miss) };
        (outcome, Recalled::Run(recording))
    }

    /// Drops what is older than its time to live.
    pub(crate) fn expire(&self) {
        let expired = self.shelf.lock().expire();
        // Dropped outside the lock: it may hold much.
        drop(expired);
    }

    /// How it is now.
    pub(crate) fn usage(&self) -> CacheUsage {
        CacheUsage {
            entries: self.shelf.lock().len() as u64,
            bytes: self.account.used(),
            evicted: self.evicted.load(Ordering::Relaxed),
            given: self.given.each_ref().map(|count| count.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn account(&self) -> &AccountedPool {
        &self.account
    }

    fn pool(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.account) as Arc<dyn MemoryPool>
    }

    fn max_bytes_per_result(&self) -> u64 {
        self.config.max_bytes_per_result.0
    }

    fn keep(&self, answer: Answer) {
        let replaced = self.shelf.lock().put(Arc::new(answer));
        drop(replaced);
    }
}

impl Relief for ResultCache {
    /// The result that was not used for the longest time goes; `false` if there is none.
    fn give_back(&self) -> bool {
        let Some(oldest) = self.shelf.lock().pop() else { return false };
        drop(oldest);
        self.evicted.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// Whether a kept answer may be given to a statement with this identity, and as what.
fn usable(answer: &Answer, identity: &Identity, max_staleness: Duration) -> Option<CacheStatus> {
    if identity.version.is_some() && answer.identity.version == identity.version {
        return Some(CacheStatus::Hit);
    }
    (!max_staleness.is_zero() && answer.age() <= max_staleness).then_some(CacheStatus::Stale)
}
