//! The last queries that ended, in memory.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::{Entry, HistoryFilter};
use crate::query::{QueryId, QueryInfo};

/// Forgets the query that ended first when it is full.
#[derive(Debug)]
pub(super) struct Ring {
    capacity: usize,
    /// By id, the order of listings.
    entries: BTreeMap<QueryId, Arc<Entry>>,
    /// In the order of their ends, the order of forgetting.
    ended: VecDeque<QueryId>,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: BTreeMap::new(), ended: VecDeque::new() }
    }

    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        let id = entry.info.id;
        if self.entries.insert(id, entry).is_none() {
            self.ended.push_back(id);
        }
        while self.ended.len() > self.capacity {
            if let Some(oldest) = self.ended.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }

    pub(super) fn get(&self, id: QueryId) -> Option<&Arc<Entry>> {
        self.entries.get(&id)
    }

    /// All of them, oldest first.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// Newest first.
    pub(super) fn list(&self, filter: &HistoryFilter) -> Vec<QueryInfo> {
        let end = filter.before.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries
            .range((Bound::Unbounded, end))
            .rev()
            .map(|(_, entry)| &entry.info)
            .filter(|info| filter.matches(info))
            .take(filter.limit)
            .cloned()
            .collect()
    }
}
