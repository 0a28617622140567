//! The keys of a job, as its tasks tell them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ballista_core::serde::protobuf::TaskColumnStats;

use super::FilterId;
use super::bloom::Bloom;
use super::set::KeySet;

/// What is known when all tasks that collect keys have ended.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// A filter of them.
    Keys(Arc<Bloom>),
    /// There are too many to be worth filtering by, or nobody collects them.
    TooMany,
}

/// The keys of each filter of a job.
#[derive(Debug, Default)]
pub(crate) struct Gathered(BTreeMap<FilterId, Gathering>);

#[derive(Debug)]
enum Gathering {
    Some(KeySet),
    All(Known),
}

impl Gathered {
    /// A task has ended, and tells what it collected.
    pub(crate) fn add(&mut self, told: &TaskColumnStats) {
        let gathering = self.0.entry(told.column).or_insert_with(|| Gathering::Some(KeySet::default()));
        if let Gathering::Some(keys) = gathering {
            keys.merge(told);
        }
    }

    /// All tasks that collect the keys of the filter have ended.
    pub(crate) fn complete(&mut self, id: FilterId) {
        let known = match self.0.remove(&id) {
            Some(Gathering::All(known)) => known,
            Some(Gathering::Some(keys)) => keys.filter().map_or(Known::TooMany, |keys| Known::Keys(Arc::new(keys))),
            // No task has told any.
            None => Known::TooMany,
        };
        self.0.insert(id, Gathering::All(known));
    }

    /// The keys of the filter, when all are known.
    pub(crate) fn known(&self, id: FilterId) -> Option<Known> {
        match self.0.get(&id)? {
            Gathering::All(known) => Some(known.clone()),
            Gathering::Some(keys) => keys.is_full().then_some(Known::TooMany),
        }
    }
}
