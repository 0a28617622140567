//! The hashes of keys: of one task, or of all.

use std::collections::HashSet;
use std::fmt;

use ballista_core::serde::protobuf::{ColumnSketch, TaskColumnStats};
use datafusion::common::hash_utils::RandomState;

use super::FilterId;
use super::bloom::Bloom;

/// Keys that are kept one by one, and take eight bytes each on the wire.
const FEW: usize = 1 << 18;

/// The words of a filter of more keys: 4 MiB.
const MANY_WORDS: usize = 1 << 19;

/// Keys that such a filter holds, at eight bits for each of them.
const MANY: u64 = 1 << 22;

/// How the keys are told.
const HASHES: i32 = 0;
const FILTER: i32 = 1;

/// The hashes of keys, in a bounded place.
pub(super) enum KeySet {
    /// One by one.
    Few(HashSet<u64, RandomState>),
    /// In a filter.
    Many { filter: Bloom, count: u64 },
    /// More than is worth filtering by.
    TooMany,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Few(keys) => write!(f, "Few({})", keys.len()),
            Self::Many { count, .. } => write!(f, "Many({count})"),
            Self::TooMany => f.write_str("TooMany"),
        }
    }
}

impl Default for KeySet {
    fn default() -> Self {
        Self::Few(HashSet::with_hasher(RandomState::default()))
    }
}

impl KeySet {
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::TooMany)
    }

    pub(super) fn add(&mut self, hashes: impl Iterator<Item = u64>) {
        match self {
            Self::Few(keys) => {
                keys.extend(hashes);
                if keys.len() > FEW {
                    *self = Self::many(keys);
                }
            }
            Self::Many { filter, count } => {
                // A key that is not told from those before it does not count.
                *count += hashes.map(|hash| u64::from(filter.insert(hash))).sum::<u64>();
                self.check();
            }
            Self::TooMany => {}
        }
    }

    fn many(keys: &HashSet<u64, RandomState>) -> Self {
        let mut many = Self::Many { filter: Bloom::of_words(MANY_WORDS), count: 0 };
        many.add(keys.iter().copied());
        many
    }

    fn check(&mut self) {
        if matches!(self, Self::Many { count, .. } if *count > MANY) {
            *self = Self::TooMany;
        }
    }

    /// The message with these keys, in the form that Ballista has for statistics of columns. One without any says that there
    /// are too many.
    pub(super) fn told(self, id: FilterId) -> TaskColumnStats {
        let (kind, count, data) = match self {
            Self::Few(keys) => (HASHES, 0, keys.into_iter().flat_map(u64::to_le_bytes).collect()),
            Self::Many { filter, count } => (FILTER, count, filter.to_bytes()),
            Self::TooMany => return TaskColumnStats { column: id, ..TaskColumnStats::default() },
        };
        TaskColumnStats { column: id, null_count: count, sketches: vec![ColumnSketch { r#type: kind, data }] }
    }

    /// Takes in what a task tells.
    pub(super) fn merge(&mut self, told: &TaskColumnStats) {
        let Some(sketch) = told.sketches.first() else {
            *self = Self::TooMany;
            return;
        };
        if sketch.r#type == HASHES {
            let (hashes, _) = sketch.data.as_chunks::<8>();
            return self.add(hashes.iter().copied().map(u64::from_le_bytes));
        }
        if let Self::Few(keys) = self {
            *self = Self::many(keys);
        }
        if let Self::Many { filter, count } = self {
            *count += told.null_count;
            match Bloom::from_bytes(&sketch.data).is_some_and(|other| filter.merge(&other)) {
                true => self.check(),
                false => *self = Self::TooMany,
            }
        }
    }

    /// A filter of the keys; nothing, if there are too many. No key at all makes one that drops all rows.
    pub(super) fn filter(self) -> Option<Bloom> {
        match self {
            Self::Few(keys) => {
                let mut filter = Bloom::for_keys(keys.len());
                for key in keys {
                    filter.insert(key);
                }
                Some(filter)
            }
            Self::Many { filter, .. } => Some(filter),
            Self::TooMany => None,
        }
    }
}
