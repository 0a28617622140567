//! What the scans of one statement will read, noted by the tables while the scans are planned: what is noted is what is
//! read, with no moment in between in which it could change.

use std::sync::Arc;
use std::time::Duration;

use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{Digester, Fingerprint};
use crate::storage::FileSet;

/// What the scans of one statement will read. It travels as an extension of the configuration that the scans are planned with.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<Vec<Source>>);

/// What one scan will read.
#[derive(Debug)]
pub(crate) enum Source {
    /// These contents of a table in memory: no two have the same name.
    Memory { table: Uuid, contents: Uuid },
    /// Files.
    Files(FileSet),
}

impl Sources {
    /// Lets the scans that are planned with this configuration note what they read.
    pub(crate) fn watch(config: &mut SessionConfig) -> Arc<Self> {
        let sources = Arc::new(Self::default());
        config.set_extension(Arc::clone(&sources));
        sources
    }

    /// Where to note what is read, if anybody wants to know.
    pub(crate) fn of(config: &SessionConfig) -> Option<Arc<Self>> {
        config.get_extension()
    }

    pub(crate) fn note(&self, source: Source) {
        self.0.lock().push(source);
    }

    /// The version of everything that was noted; absent if it can not be told by looking. A file that changed less than
    /// `min_age` ago has none that could be trusted.
    pub(crate) async fn version(&self, min_age: Duration) -> Option<Fingerprint> {
        let noted = std::mem::take(&mut *self.0.lock());
        let mut versions = Vec::with_capacity(noted.len());
        for source in noted {
            versions.push(match source {
                Source::Memory { table, contents } => {
                    Digester::new("memory").add(table.as_bytes()).add(contents.as_bytes()).end()
                }
                Source::Files(files) => files.version(min_age).await?,
            });
        }
        // Scans may be planned in any order.
        versions.sort_unstable();
        Some(Digester::new("sources").add(&versions).end())
    }
}
