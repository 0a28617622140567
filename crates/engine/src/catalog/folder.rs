//! A folder whose files and sub-folders are tables, listed when somebody looks and trusted for a short time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::definition::OpenTable;
use super::entry::{Body, Origin, TableEntry};
use crate::error::Result;

/// A listing is trusted for this time: a new file is a table soon, and a burst of queries lists once.
const TRUSTED_FOR: Duration = Duration::from_secs(5);

/// The tables of a folder, by name.
pub(crate) type Listing = Arc<BTreeMap<Arc<str>, Arc<TableEntry>>>;

/// A folder of tables.
#[derive(Debug)]
pub(crate) struct Folder {
    location: String,
    listed: Mutex<Option<(Instant, Listing)>>,
    listing: tokio::sync::Mutex<()>,
}

impl Folder {
    pub(crate) fn new(location: String) -> Self {
        Self { location, listed: Mutex::new(None), listing: tokio::sync::Mutex::new(()) }
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// The tables as last listed, however long ago; none before the first listing.
    pub(crate) fn last(&self) -> Listing {
        self.listed.lock().as_ref().map(|(_, listing)| Arc::clone(listing)).unwrap_or_default()
    }

    /// The tables as of a moment ago. A failure is not kept: the next use lists again.
    pub(crate) async fn tables(&self, opener: &dyn OpenTable) -> Result<Listing> {
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let _turn = self.listing.lock().await;
        if let Some(fresh) = self.fresh() {
            return Ok(fresh);
        }
        let found = opener.list(&self.location).await?;
        let before = self.last();
        let mut tables = BTreeMap::new();
        for (name, definition) in found {
            let entry = match before.get(name.as_str()) {
                // What was opened stays open as long as its files are where they were.
                Some(known) if matches!(&known.body, Body::External(slot) if *slot.definition() == definition) => {
                    Arc::clone(known)
                }
                _ => Arc::new(TableEntry::external(&name, Origin::Declared, definition)),
            };
            tables.insert(Arc::clone(&entry.name), entry);
        }
        let listing = Arc::new(tables);
        *self.listed.lock() = Some((Instant::now(), Arc::clone(&listing)));
        Ok(listing)
    }

    fn fresh(&self) -> Option<Listing> {
        match &*self.listed.lock() {
            Some((at, listing)) if at.elapsed() < TRUSTED_FOR => Some(Arc::clone(listing)),
            Some(_) | None => None,
        }
    }
}
