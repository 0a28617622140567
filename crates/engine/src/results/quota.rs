//! How much disk results may take: one, those of one principal, and all together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::ResultsConfig;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::units::ByteSize;

/// Counts the bytes of all results against the configured bounds.
#[derive(Debug)]
pub(super) struct Quota {
    used: AtomicU64,
    used_by: Mutex<HashMap<Arc<str>, u64>>,
    max_bytes: ByteSize,
    max_bytes_per_principal: ByteSize,
    max_bytes_per_query: ByteSize,
}

/// What the results of one principal are counted on.
#[derive(Debug, Clone)]
pub(super) struct Account {
    quota: Arc<Quota>,
    owner: Arc<str>,
}

impl Quota {
    pub(super) fn new(config: &ResultsConfig) -> Self {
        Self {
            used: AtomicU64::new(0),
            used_by: Mutex::default(),
            max_bytes: config.max_bytes,
            max_bytes_per_principal: config.max_bytes_per_principal,
            max_bytes_per_query: config.max_bytes_per_query,
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The account of this principal.
    pub(super) fn of(self: &Arc<Self>, owner: &Arc<str>) -> Account {
        Account { quota: Arc::clone(self), owner: Arc::clone(owner) }
    }
}

impl Account {
    /// Counts what is on disk already, whatever the bounds say.
    pub(super) fn add(&self, bytes: u64) {
        self.quota.used.fetch_add(bytes, Ordering::Relaxed);
        *self.quota.used_by.lock().entry(Arc::clone(&self.owner)).or_default() += bytes;
    }

    pub(super) fn release(&self, bytes: u64) {
        self.quota.used.fetch_sub(bytes, Ordering::Relaxed);
        let mut used_by = self.quota.used_by.lock();
        if let Some(own) = used_by.get_mut(&self.owner) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                used_by.remove(&self.owner);
            }
        }
    }

    /// Whether all results together, those of the principal, and one of `of_query` bytes, are within bounds.
    pub(super) fn check(&self, of_query: u64) -> Result<()> {
        let Quota { max_bytes, max_bytes_per_principal, max_bytes_per_query, .. } = &*self.quota;
        if of_query > max_bytes_per_query.0 {
            return Err(exceeded("one result", "results.max_bytes_per_query", *max_bytes_per_query)
                .hint("narrow the query, write it to storage with COPY, or raise results.max_bytes_per_query"));
        }
        if self.own() > max_bytes_per_principal.0 {
            let what = format!("the kept results of '{}'", self.owner);
            return Err(exceeded(&what, "results.max_bytes_per_principal", *max_bytes_per_principal)
                .hint("delete results that are no longer needed, or raise results.max_bytes_per_principal"));
        }
        if self.quota.used() > max_bytes.0 {
            return Err(exceeded("all kept results", "results.max_bytes", *max_bytes)
                .hint("delete results that are no longer needed, or raise results.max_bytes"));
        }
        Ok(())
    }

    fn own(&self) -> u64 {
        self.quota.used_by.lock().get(&self.owner).copied().unwrap_or(0)
    }
}

fn exceeded(what: &str, key: &str, max: ByteSize) -> Error {
    Error::new(ErrorKind::Resources, format!("the disk quota of {what} is exhausted ({key} = {max})"))
        .about(Subject::Disk)
}
