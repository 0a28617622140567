//! How much disk results may take.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::ResultsConfig;
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::units::ByteSize;

/// Counts the bytes of all results against the configured bounds.
#[derive(Debug)]
pub(super) struct Quota {
    used: AtomicU64,
    max_bytes: ByteSize,
    max_bytes_per_query: ByteSize,
}

impl Quota {
    pub(super) fn new(config: &ResultsConfig) -> Self {
        Self { used: AtomicU64::new(0), max_bytes: config.max_bytes, max_bytes_per_query: config.max_bytes_per_query }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts what is on disk already, whatever the bounds say.
    pub(super) fn add(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether all results together, and one of `of_query` bytes, are within bounds.
    pub(super) fn check(&self, of_query: u64) -> Result<()> {
        if of_query > self.max_bytes_per_query.0 {
            return Err(exceeded("one result", "results.max_bytes_per_query", self.max_bytes_per_query)
                .hint("narrow the query, write it to storage with COPY, or raise results.max_bytes_per_query"));
        }
        if self.used() > self.max_bytes.0 {
            return Err(exceeded("all kept results", "results.max_bytes", self.max_bytes)
                .hint("delete results that are no longer needed, or raise results.max_bytes"));
        }
        Ok(())
    }
}

fn exceeded(what: &str, key: &str, max: ByteSize) -> Error {
    Error::new(ErrorKind::Resources, format!("the disk quota of {what} is exhausted ({key} = {max})"))
        .about(Subject::Disk)
}
