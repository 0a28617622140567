//! Kept results: what an asynchronous query produced, on disk until somebody deletes it or its time is over.
//!
//! A result is a directory named by its query's id, with Arrow IPC files (`part-00000.arrow`, ...) and a `manifest.json`
//! that is written last: a directory without one is what a dying server left, and is deleted by the next. Reading and
//! writing happen on blocking threads, one record batch at a time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::auth::Principal;
use crate::config::ResultsConfig;
use crate::data_dir::{self, DataDir};
use crate::error::{Error, Result, Subject};
use crate::query::{QueryId, ResultInfo};
use crate::units::Span;

mod files;
mod manifest;
mod quota;
mod reader;
mod restore;
mod spool;
#[cfg(test)]
mod tests;
mod writer;

use quota::Quota;
pub use reader::SpooledResult;
pub use spool::{Spool, SpoolProgress};

/// All kept results, by the id of their query. Cloning copies a handle.
#[derive(Debug, Clone)]
pub struct Results {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    config: ResultsConfig,
    /// How long a result that becomes complete now is kept.
    ttl: Mutex<Span>,
    quota: Arc<Quota>,
    entries: Mutex<HashMap<QueryId, Entry>>,
    _data_dir: Arc<DataDir>,
}

#[derive(Debug)]
enum Entry {
    Writing { owner: Arc<str>, progress: Arc<SpoolProgress> },
    Kept(SpooledResult),
}

impl Entry {
    fn owner(&self) -> &str {
        match self {
            Self::Writing { owner, .. } => owner,
            Self::Kept(result) => result.owner(),
        }
    }
}

impl Results {
    /// Opens the results that earlier servers kept in this data directory, and deletes those that are unfinished or
    /// expired. Blocks for as long as the disk needs.
    ///
    /// # Errors
    /// The directory cannot be created or listed.
    pub fn restore(config: &ResultsConfig, data_dir: Arc<DataDir>) -> Result<Self> {
        let dir = data_dir.path().join("results");
        let failed = |error| data_dir::failure(&format!("cannot use results directory '{}'", dir.display()), error);
        data_dir::create_dir_all(&dir).map_err(failed)?;
        let quota = Arc::new(Quota::new(config));
        let mut entries = HashMap::new();
        for item in std::fs::read_dir(&dir).map_err(failed)? {
            let path = item.map_err(failed)?.path();
            if let Some(result) = restore::restore(&path, &quota, Utc::now()) {
                entries.insert(result.id(), Entry::Kept(result));
            }
        }
        let (ttl, entries) = (Mutex::new(config.ttl), Mutex::new(entries));
        let shared = Shared { dir, config: config.clone(), ttl, quota, entries, _data_dir: data_dir };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Announces the result of a query, which [`Spool::run`] then writes. From now on [`Results::open`] says that the
    /// query is still running.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when a result of this id exists.
    pub fn begin(&self, id: QueryId, owner: &str) -> Result<Spool> {
        let owner: Arc<str> = Arc::from(owner);
        let progress = Arc::new(SpoolProgress::default());
        let entry = Entry::Writing { owner: Arc::clone(&owner), progress: Arc::clone(&progress) };
        let mut entries = self.shared.entries.lock();
        if entries.contains_key(&id) {
            return Err(Error::conflict(Subject::Query, format!("query {id} has a result already")).of_query(id));
        }
        entries.insert(id, entry);
        Ok(Spool::new(Arc::clone(&self.shared), id, owner, progress))
    }

    /// The kept result of a query. Waits for nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is none that this principal may see, [`ErrorKind::Conflict`] while the query is
    /// still running.
    pub async fn open(&self, principal: &Principal, id: QueryId) -> Result<SpooledResult> {
        let entries = self.shared.entries.lock();
        match entries.get(&id) {
            Some(Entry::Kept(result)) if principal.may_manage(result.owner()) && !result.expired(Utc::now()) => {
                Ok(result.clone())
            }
            Some(Entry::Writing { owner, .. }) if principal.may_manage(owner) => Err(still_running(id)),
            _ => Err(self.not_found(id)),
        }
    }

    /// How large the result of a query is, so far or in all. For documents about queries that the caller may see.
    pub fn info(&self, id: QueryId) -> Option<ResultInfo> {
        match self.shared.entries.lock().get(&id)? {
            Entry::Writing { progress, .. } => Some(progress.info()),
            Entry::Kept(result) => (!result.expired(Utc::now())).then(|| result.info()),
        }
    }

    /// The columns of the result of a query, once they are known. For documents about queries that the caller may see.
    pub fn schema(&self, id: QueryId) -> Option<SchemaRef> {
        match self.shared.entries.lock().get(&id)? {
            Entry::Writing { progress, .. } => progress.schema(),
            Entry::Kept(result) => Some(result.schema()),
        }
    }

    /// How long a result is kept after its query ended; 0 until it is deleted.
    pub fn ttl(&self) -> Span {
        *self.shared.ttl.lock()
    }

    /// Keeps results that become complete from now on for this long.
    pub(crate) fn set_ttl(&self, ttl: Span) {
        *self.shared.ttl.lock() = ttl;
    }

    /// Deletes the kept result of a query. Who is reading it reads on; its files go with the last reader.
    ///
    /// # Errors
    /// As for [`Results::open`].
    pub fn delete(&self, principal: &Principal, id: QueryId) -> Result<()> {
        let removed = {
            let mut entries = self.shared.entries.lock();
            match entries.get(&id) {
                Some(entry) if !principal.may_manage(entry.owner()) => None,
                Some(Entry::Writing { .. }) => return Err(still_running(id).hint("cancel the query first")),
                Some(Entry::Kept(_)) | None => entries.remove(&id),
            }
        };
        let Some(Entry::Kept(result)) = removed else { return Err(self.not_found(id)) };
        result.discard();
        Ok(())
    }

    /// Deletes the results whose time is over at `now`, and returns how many.
    pub fn sweep(&self, now: DateTime<Utc>) -> usize {
        let expired: Vec<Entry> = self
            .shared
            .entries
            .lock()
            .extract_if(|_, entry| matches!(entry, Entry::Kept(result) if result.expired(now)))
            .map(|(_, entry)| entry)
            .collect();
        for entry in &expired {
            if let Entry::Kept(result) = entry {
                result.discard();
            }
        }
        expired.len()
    }

    /// Bytes on disk of all results, unfinished ones and deleted ones with readers included.
    pub fn bytes(&self) -> u64 {
        self.shared.quota.used()
    }

    fn not_found(&self, id: QueryId) -> Error {
        Error::not_found(Subject::Query, format!("query {id} has no kept result")).of_query(id).hint(format!(
            "results of asynchronous queries are kept for {} (results.ttl); run the query again",
            self.ttl()
        ))
    }
}

impl Shared {
    /// When a result that is complete at `now` expires.
    fn expiry(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ttl = self.ttl.lock().limit()?;
        now.checked_add_signed(TimeDelta::from_std(ttl).ok()?)
    }

    fn dir_of(&self, id: QueryId) -> PathBuf {
        self.dir.join(id.to_string())
    }
}

fn still_running(id: QueryId) -> Error {
    Error::conflict(Subject::Result, format!("query {id} is still running"))
        .of_query(id)
        .hint("wait until its state is 'finished'")
}
