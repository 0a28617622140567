//! The write side of the stored history: one thread, fed by a bounded channel, that writes what is pending at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Entry, store};
use crate::config::HistoryConfig;
use crate::data_dir;
use crate::error::Result;
use crate::query::{QueryId, QueryInfo};

/// The most rows of one transaction.
const MAX_BATCH: usize = 1024;

/// After so many stored rows, surplus ones are deleted.
const PRUNE_AFTER: usize = 1024;

/// The most rows that one pruning deletes for each reason: more than were added since the last, so that it catches up,
/// and few enough that pending rows do not wait for long.
const PRUNE_LIMIT: usize = 4 * PRUNE_AFTER;

/// Lost ends that are remembered until their rows are removed. Beyond, a row may stay behind until it is too old.
const MAX_LOST_ENDS: usize = 1 << 16;

enum Message {
    Started(Box<QueryInfo>),
    Runs(Arc<Entry>),
    Ended(Arc<Entry>),
    Sweep(DateTime<Utc>),
    Flush(oneshot::Sender<()>),
}

/// The handle to the thread. Dropping it waits until what is pending is stored.
#[derive(Debug)]
pub(super) struct Writer {
    sender: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    losses: Arc<Losses>,
}

/// What could not be stored.
#[derive(Debug)]
struct Losses {
    rows: AtomicU64,
    /// Queries whose end was lost: their rows still say that they run, and would pass for interrupted ones at the next
    /// start.
    ends: Mutex<Vec<QueryId>>,
}

impl Losses {
    fn start(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self, id: QueryId) {
        self.rows.fetch_add(1, Ordering::Relaxed);
        let mut ends = self.ends.lock();
        if ends.len() < MAX_LOST_ENDS {
            ends.push(id);
        }
    }
}

impl Writer {
    pub(super) fn spawn(connection: Connection, config: &HistoryConfig) -> Result<Self> {
        let max_pending = config.max_pending.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::channel(max_pending);
        let losses = Arc::new(Losses { rows: AtomicU64::new(0), ends: Mutex::new(Vec::new()) });
        let work = Work {
            connection,
            receiver,
            losses: Arc::clone(&losses),
            lost_ends: Vec::new(),
            keep: config.stored_entries,
            retention: config.retention.limit().and_then(|age| TimeDelta::from_std(age).ok()),
            unpruned: 0,
            failing: false,
        };
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || work.run())
            .map_err(|error| data_dir::failure("cannot start the writer of query history", error))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), losses })
    }

    pub(super) fn started(&self, info: QueryInfo) {
        if !self.send(Message::Started(Box::new(info))) {
            self.losses.start();
        }
    }

    /// What finds the channel full is told again soon.
    pub(super) fn runs(&self, entry: Arc<Entry>) {
        self.send(Message::Runs(entry));
    }

    pub(super) fn ended(&self, entry: Arc<Entry>) {
        let id = entry.info.id;
        if !self.send(Message::Ended(entry)) {
            self.losses.end(id);
        }
    }

    /// A sweep that finds the channel full is left to the next one.
    pub(super) fn sweep(&self, now: DateTime<Utc>) {
        self.send(Message::Sweep(now));
    }

    pub(super) async fn flush(&self) {
        let Some(sender) = &self.sender else { return };
        let (done, wait) = oneshot::channel();
        if sender.send(Message::Flush(done)).await.is_ok() {
            // An error means that the thread has ended: nothing is left to wait for.
            let _ = wait.await;
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.losses.rows.load(Ordering::Relaxed)
    }

    fn send(&self, message: Message) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.try_send(message).is_ok())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.sender.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer of query history panicked");
        }
    }
}

/// What the thread owns.
struct Work {
    connection: Connection,
    receiver: mpsc::Receiver<Message>,
    losses: Arc<Losses>,
    lost_ends: Vec<QueryId>,
    keep: usize,
    retention: Option<TimeDelta>,
    /// Rows stored since the last pruning.
    unpruned: usize,
    /// Whether the last transaction failed, so that an outage is logged once.
    failing: bool,
}

impl Work {
    fn run(mut self) {
        self.prune(Utc::now());
        let mut batch = Vec::new();
        while self.receiver.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
            self.write(&batch);
            self.forget_lost_ends();
            let sweep = batch.iter().rev().find_map(|message| match message {
                Message::Sweep(now) => Some(*now),
                Message::Started(_) | Message::Runs(_) | Message::Ended(_) | Message::Flush(_) => None,
            });
            if let Some(now) = sweep.or_else(|| (self.unpruned >= PRUNE_AFTER).then(Utc::now)) {
                self.prune(now);
            }
            for message in batch.drain(..) {
                if let Message::Flush(done) = message {
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
            }
        }
        self.forget_lost_ends();
    }

    fn write(&mut self, batch: &[Message]) {
        let written = transact(&mut self.connection, |transaction| {
            let mut rows = 0;
            for message in batch {
                match message {
                    Message::Started(info) => store::insert_started(transaction, info)?,
                    Message::Ended(entry) => store::insert_ended(transaction, entry)?,
                    Message::Runs(entry) => {
                        store::update_running(transaction, entry)?;
                        continue;
                    }
                    Message::Sweep(_) | Message::Flush(_) => continue,
                }
                rows += 1;
            }
            Ok(rows)
        });
        match written {
            Ok(rows) => self.unpruned += rows,
            Err(_) => batch.iter().for_each(|message| match message {
                Message::Started(_) => self.losses.start(),
                Message::Ended(entry) => self.losses.end(entry.info.id),
                Message::Runs(_) | Message::Sweep(_) | Message::Flush(_) => {}
            }),
        }
        self.note("cannot store query history", written.err());
    }

    /// Removes the rows of queries whose end was lost. Only when nothing is pending: until then their start may be.
    fn forget_lost_ends(&mut self) {
        self.lost_ends.append(&mut self.losses.ends.lock());
        if self.lost_ends.is_empty() || !self.receiver.is_empty() {
            return;
        }
        let ids = &self.lost_ends;
        let forgotten =
            transact(&mut self.connection, |transaction| ids.iter().try_for_each(|id| store::delete(transaction, *id)));
        match forgotten {
            Ok(()) => self.lost_ends.clear(),
            // The disk fails: they are tried again with the next rows.
            Err(_) => self.lost_ends.truncate(MAX_LOST_ENDS),
        }
    }

    fn prune(&mut self, now: DateTime<Utc>) {
        let oldest = self.retention.and_then(|age| now.checked_sub_signed(age));
        let pruned = store::prune(&self.connection, oldest, self.keep, PRUNE_LIMIT);
        // More may be left: the next rows bring the next turn.
        self.unpruned = if matches!(pruned, Ok(deleted) if deleted >= PRUNE_LIMIT) { PRUNE_AFTER } else { 0 };
        self.note("cannot delete old query history", pruned.err());
    }

    fn note(&mut self, what: &str, error: Option<rusqlite::Error>) {
        match error {
            Some(error) if !self.failing => {
                tracing::error!(%error, "{what}; rows are dropped until this ends");
                self.failing = true;
            }
            Some(_) => {}
            None => self.failing = false,
        }
    }
}

fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction()?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}
