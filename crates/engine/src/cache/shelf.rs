//! The kept answers in the order of their last use: one for each statement, the newest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryReservation;

use super::{Fingerprint, Identity};

/// A complete result.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) identity: Identity,
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    /// Returns when the last one who streams the answer is done.
    pub(super) _reservation: MemoryReservation,
}

impl Answer {
    /// The time since the data were looked at.
    pub(crate) fn age(&self) -> Duration {
        self.identity.since.elapsed()
    }
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// How long an answer is kept; without, until its place is needed.
    ttl: Option<Duration>,
    answers: HashMap<Fingerprint, Kept>,
    /// Statements by the moment of their last use.
    by_use: BTreeMap<u64, Fingerprint>,
    /// Uses so far.
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    answer: Arc<Answer>,
    used: u64,
}

impl Shelf {
    pub(super) fn new(ttl: Option<Duration>) -> Self {
        Self { ttl, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// The answer of a statement, which is used now.
    pub(super) fn get(&mut self, statement: &Fingerprint) -> Option<Arc<Answer>> {
        let kept = self.answers.get_mut(statement)?;
        if self.ttl.is_some_and(|ttl| kept.answer.age() > ttl) {
            return None;
        }
        self.by_use.remove(&kept.used);
        self.uses += 1;
        kept.used = self.uses;
        self.by_use.insert(kept.used, *statement);
        Some(Arc::clone(&kept.answer))
    }

    /// Takes an answer in place of an older one. Gives back the one that goes.
    pub(super) fn put(&mut self, answer: Arc<Answer>) -> Option<Arc<Answer>> {
        let statement = answer.identity.statement;
        if self.answers.get(&statement).is_some_and(|kept| kept.answer.identity.since > answer.identity.since) {
            return Some(answer);
        }
        self.uses += 1;
        let kept = Kept { answer, used: self.uses };
        self.by_use.insert(kept.used, statement);
        let replaced = self.answers.insert(statement, kept)?;
        self.by_use.remove(&replaced.used);
        Some(replaced.answer)
    }

    /// Removes the answer that was not used for the longest time.
    pub(super) fn pop(&mut self) -> Option<Arc<Answer>> {
        let (_, statement) = self.by_use.pop_first()?;
        self.answers.remove(&statement).map(|kept| kept.answer)
    }

    /// Removes the answers that are too old.
    pub(super) fn expire(&mut self) -> Vec<Arc<Answer>> {
        let Some(ttl) = self.ttl else { return Vec::new() };
        let is_old = |kept: &Kept| kept.answer.age() > ttl;
        let old: Vec<Fingerprint> =
            self.answers.iter().filter(|(_, kept)| is_old(kept)).map(|(statement, _)| *statement).collect();
        let removed: Vec<Kept> = old.iter().filter_map(|statement| self.answers.remove(statement)).collect();
        for kept in &removed {
            self.by_use.remove(&kept.used);
        }
        removed.into_iter().map(|kept| kept.answer).collect()
    }
}
