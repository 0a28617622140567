//! What happened to every query: the last ones in memory, more of them in a database that survives a restart.
//!
//! Nothing here waits in the path of a query: rows go to one writer thread through a bounded channel, and a row that
//! finds the channel full is counted and dropped. History answers for queries that have ended; those that run are known
//! to the registry of queries, and are stored only so that the next start can tell what a killed server was doing.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;

use crate::auth::{Principal, Role};
use crate::config::HistoryConfig;
use crate::data_dir::DataDir;
use crate::error::Result;
use crate::query::{QueryId, QueryInfo, QueryState, Stages};
use crate::text::cut_in_place;

mod reader;
mod ring;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use reader::Reader;
use ring::Ring;
use writer::Writer;

/// One listing returns at most this many queries; the cursor leads to the next.
const MAX_LISTED: usize = 10_000;

/// Queries of before the start that are kept in memory; more would keep the start waiting.
const MAX_RECALLED: usize = 200;

/// A longer plan or profile is cut, in bytes: one query with a thousand columns must not fill the ring's memory.
const MAX_PROFILE_BYTES: usize = 256 << 10;

/// What happened to every query.
#[derive(Debug)]
pub struct History {
    ring: Mutex<Ring>,
    /// Absent when nothing is stored.
    store: Option<Store>,
    max_sql_bytes: usize,
    max_tasks: usize,
    // Last, so that the directory is free only when the writer has ended.
    _data_dir: Arc<DataDir>,
}

#[derive(Debug)]
struct Store {
    // Closed before the writer's connection, which folds the write-ahead log into the database as it closes.
    reader: Reader,
    writer: Writer,
}

/// A query as it is stored: one that has ended, or how far one was.
#[derive(Debug)]
struct Entry {
    info: QueryInfo,
    profile: Profile,
    stages: Arc<Stages>,
}

/// How a query was run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// The logical and the physical plan, as text.
    pub plan: String,
    /// The physical plan annotated with its metrics, as text.
    pub profile: String,
}

/// Which queries to list.
#[derive(Debug, Clone)]
pub struct HistoryFilter {
    /// Only those in one of these states; empty means any.
    pub states: Vec<QueryState>,
    /// Only those of this principal.
    pub principal: Option<String>,
    /// Only those that arrived at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<QueryId>,
    /// At most this many, and never more than ten thousand.
    pub limit: usize,
}

impl HistoryFilter {
    /// The last `limit` queries.
    pub fn newest(limit: usize) -> Self {
        Self { states: Vec::new(), principal: None, since: None, before: None, limit }
    }

    /// Whether the query is one of these, cursor and limit aside.
    pub fn matches(&self, info: &QueryInfo) -> bool {
        (self.states.is_empty() || self.states.contains(&info.state))
            && self.principal.as_ref().is_none_or(|principal| *principal == info.principal)
            && self.since.is_none_or(|since| info.timings.submitted_at >= since)
    }

    /// The same, narrowed to what the principal may see; `None` when that is nothing.
    fn visible_to(&self, principal: &Principal) -> Option<Self> {
        let mut filter = Self { limit: self.limit.min(MAX_LISTED), ..self.clone() };
        if principal.role() != Role::Admin {
            let own = principal.name();
            if filter.principal.as_deref().is_some_and(|asked| asked != own) {
                return None;
            }
            filter.principal = Some(own.to_owned());
        }
        Some(filter)
    }
}

impl History {
    /// Opens the history of this data directory. Queries that were running when the last server died become failed.
    /// Blocks for as long as the disk needs.
    ///
    /// # Errors
    /// A database written by a newer version, or one that cannot be opened. A corrupt one is moved aside instead.
    pub fn open(config: &HistoryConfig, data_dir: Arc<DataDir>) -> Result<Self> {
        let mut ring = Ring::new(config.memory_entries);
        let store = match config.stored_entries {
            0 => None,
            _ => Some(Store::open(config, &data_dir.path().join("history.sqlite"), &mut ring)?),
        };
        Ok(Self {
            ring: Mutex::new(ring),
            store,
            max_sql_bytes: usize::try_from(config.max_sql_bytes.0).unwrap_or(usize::MAX),
            max_tasks: config.max_tasks,
            _data_dir: data_dir,
        })
    }

    /// A statement's text, cut to what history keeps of it.
    pub fn cut(&self, sql: &str) -> String {
        let mut sql = sql.to_owned();
        cut_in_place(&mut sql, self.max_sql_bytes);
        sql
    }

    /// Tasks of one query that are remembered one by one.
    pub(crate) fn max_tasks(&self) -> usize {
        self.max_tasks
    }

    /// Whether a query of this id ended not long ago.
    pub(crate) fn is_recent(&self, id: QueryId) -> bool {
        self.ring.lock().get(id).is_some()
    }

    /// Notes that the query has arrived. Never blocks.
    pub fn started(&self, info: &QueryInfo) {
        if let Some(store) = &self.store {
            let mut info = info.clone();
            cut_in_place(&mut info.sql, self.max_sql_bytes);
            store.writer.started(info);
        }
    }

    /// Notes how the query is while it runs. Never blocks.
    pub fn runs(&self, info: QueryInfo, profile: Profile, stages: Stages) {
        if let Some(store) = &self.store {
            store.writer.runs(self.entry(info, profile, stages));
        }
    }

    /// Notes how the query ended. Never blocks.
    pub fn ended(&self, info: QueryInfo, profile: Profile, stages: Stages) {
        let entry = self.entry(info, profile, stages);
        self.ring.lock().push(Arc::clone(&entry));
        if let Some(store) = &self.store {
            store.writer.ended(entry);
        }
    }

    /// With texts that are not too long.
    fn entry(&self, mut info: QueryInfo, mut profile: Profile, stages: Stages) -> Arc<Entry> {
        cut_in_place(&mut info.sql, self.max_sql_bytes);
        cut_in_place(&mut profile.plan, MAX_PROFILE_BYTES);
        cut_in_place(&mut profile.profile, MAX_PROFILE_BYTES);
        Arc::new(Entry { info, profile, stages: Arc::new(stages) })
    }

    /// The query of this id, if it has ended and is remembered.
    pub async fn get(&self, id: QueryId) -> Result<Option<QueryInfo>> {
        if let Some(entry) = self.ring.lock().get(id) {
            return Ok(Some(entry.info.clone()));
        }
        match &self.store {
            Some(store) => store.reader.get(id).await,
            None => Ok(None),
        }
    }

    /// How the query of this id was run, if it has ended and is remembered.
    pub async fn profile(&self, id: QueryId) -> Result<Option<Profile>> {
        if let Some(entry) = self.ring.lock().get(id) {
            return Ok(Some(entry.profile.clone()));
        }
        match &self.store {
            Some(store) => store.reader.profile(id).await,
            None => Ok(None),
        }
    }

    /// The stages of the query of this id, if it has ended and is remembered.
    pub async fn stages(&self, id: QueryId) -> Result<Option<Arc<Stages>>> {
        if let Some(entry) = self.ring.lock().get(id) {
            return Ok(Some(Arc::clone(&entry.stages)));
        }
        match &self.store {
            Some(store) => Ok(store.reader.stages(id).await?.map(Arc::new)),
            None => Ok(None),
        }
    }

    /// The stages of the queries in memory that this principal may see.
    pub(super) fn recent_stages(&self, principal: &Principal) -> Vec<(QueryId, Arc<Stages>)> {
        let ring = self.ring.lock();
        let visible = ring.entries().filter(|entry| principal.may_manage(&entry.info.principal));
        visible.map(|entry| (entry.info.id, Arc::clone(&entry.stages))).collect()
    }

    /// The stages of the newest queries in memory that are asked for.
    pub(crate) fn newest_stages(&self, limit: usize, wanted: impl Fn(&QueryInfo) -> bool) -> Vec<Arc<Stages>> {
        let ring = self.ring.lock();
        let wanted = ring.entries().rev().filter(|entry| wanted(&entry.info));
        wanted.take(limit).map(|entry| Arc::clone(&entry.stages)).collect()
    }

    /// Queries that have ended and that this principal may see, newest first.
    pub async fn list(&self, principal: &Principal, filter: &HistoryFilter) -> Result<Vec<QueryInfo>> {
        let Some(filter) = filter.visible_to(principal) else { return Ok(Vec::new()) };
        // The ring first: what leaves it meanwhile is in the store already, never the other way round.
        let mut found = self.ring.lock().list(&filter);
        if let Some(store) = &self.store {
            let limit = filter.limit;
            let remembered: HashSet<QueryId> = found.iter().map(|info| info.id).collect();
            let stored = store.reader.list(filter).await?;
            found.extend(stored.into_iter().filter(|info| !remembered.contains(&info.id)));
            found.sort_unstable_by_key(|info| Reverse(info.id));
            found.truncate(limit);
        }
        Ok(found)
    }

    /// Returns when everything noted so far is stored, or has failed to be.
    pub async fn flush(&self) {
        if let Some(store) = &self.store {
            store.writer.flush().await;
        }
    }

    /// Deletes what is too old at this time, in the background; what is too many is deleted as queries end.
    pub fn sweep(&self, now: DateTime<Utc>) {
        if let Some(store) = &self.store {
            store.writer.sweep(now);
        }
    }

    /// Rows that were not stored because the writer could not keep up, or the disk failed.
    pub fn dropped(&self) -> u64 {
        self.store.as_ref().map_or(0, |store| store.writer.dropped())
    }
}

impl Store {
    /// The newest queries go into the ring, as if they had ended just now.
    fn open(config: &HistoryConfig, path: &Path, ring: &mut Ring) -> Result<Self> {
        let connection = store::open(path)?;
        let newest = store::newest(&connection, config.memory_entries.min(MAX_RECALLED));
        let newest = newest.map_err(|error| store::failure("cannot read query history", error))?;
        newest.into_iter().for_each(|entry| ring.push(Arc::new(entry)));
        Ok(Self { reader: Reader::open(path)?, writer: Writer::spawn(connection, config)? })
    }
}
