//! One table or view of the catalog, opened at its first use and not before.

use std::sync::Arc;
use std::time::Duration;

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::TableType;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use super::definition::{OpenTable, ViewDefinition};
use super::memory::MemoryTable;
use super::scan::Table;
use crate::error::{Error, Result};
use crate::storage::TableDefinition;

/// A broken table is tried again after this time: long enough not to burden a store that is down with each query, short
/// enough that a repaired file is seen without a restart.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What sort of table an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// Over files.
    External,
    /// In the server's memory.
    Memory,
    /// A stored query.
    View,
    /// Computed by the server: `information_schema` and `system`.
    System,
}

impl TableKind {
    /// The name, as in `system.tables`.
    pub fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Memory => "memory",
            Self::View => "view",
            Self::System => "system",
        }
    }

    /// The name of the SQL standard, as in `information_schema.tables`.
    pub(crate) fn standard_name(self) -> &'static str {
        match self {
            Self::External | Self::Memory => "BASE TABLE",
            Self::View | Self::System => "VIEW",
        }
    }
}

/// How a table fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableStatus {
    /// Not used yet, so nobody knows.
    Unopened,
    /// Ready.
    Open,
    /// It could not be opened at the last attempt.
    Broken,
}

impl TableStatus {
    /// The name, as in `system.tables`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unopened => "unopened",
            Self::Open => "open",
            Self::Broken => "broken",
        }
    }
}

/// Where an entry comes from, which decides who can drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Always there.
    BuiltIn,
    /// From the configuration, or found in a folder that the configuration names: dropped entries would come back.
    Declared,
    /// Made by SQL.
    Statement,
}

/// One table or view.
#[derive(Debug)]
pub(crate) struct TableEntry {
    pub(crate) name: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) body: Body,
}

/// What stands behind the name.
#[derive(Debug)]
pub(crate) enum Body {
    External(Slot),
    Memory(Arc<MemoryTable>),
    View(ViewDefinition),
}

impl TableEntry {
    /// An entry over files that is not opened yet.
    pub(crate) fn external(name: &str, origin: Origin, definition: TableDefinition) -> Self {
        Self { name: name.into(), origin, body: Body::External(Slot::new(definition)) }
    }

    pub(crate) fn kind(&self) -> TableKind {
        match &self.body {
            Body::External(_) => TableKind::External,
            Body::Memory(_) => TableKind::Memory,
            Body::View(_) => TableKind::View,
        }
    }

    /// The type in DataFusion's terms, without opening.
    pub(crate) fn table_type(&self) -> TableType {
        match &self.body {
            Body::External(_) | Body::Memory(_) => TableType::Base,
            Body::View(_) => TableType::View,
        }
    }

    /// How it fares, and the error if it is broken; without opening.
    pub(crate) fn status(&self) -> (TableStatus, Option<String>) {
        match &self.body {
            Body::External(slot) => slot.status(),
            Body::Memory(_) => (TableStatus::Open, None),
            // A view is planned when used; what it reads reports for itself.
            Body::View(_) => (TableStatus::Unopened, None),
        }
    }

    /// Its files; empty unless external.
    pub(crate) fn location(&self) -> &[String] {
        match &self.body {
            Body::External(slot) => &slot.definition.locations,
            Body::Memory(_) | Body::View(_) => &[],
        }
    }
}

/// A table over files: its definition and the outcome of opening it.
#[derive(Debug)]
pub(crate) struct Slot {
    definition: TableDefinition,
    outcome: Mutex<Outcome>,
    /// Held while opening: whoever comes second waits and takes the first one's outcome. A query that is cancelled
    /// while it opens releases it, and the next one opens.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum Outcome {
    Unopened,
    Open(Arc<dyn TableProvider>),
    Broken { error: Error, at: Instant },
}

impl Slot {
    pub(crate) fn new(definition: TableDefinition) -> Self {
        Self { definition, outcome: Mutex::new(Outcome::Unopened), opening: tokio::sync::Mutex::new(()) }
    }

    pub(crate) fn definition(&self) -> &TableDefinition {
        &self.definition
    }

    /// The table, opened if this is its first use or if it was broken a while ago.
    pub(crate) async fn open(&self, opener: &dyn OpenTable) -> Result<Arc<dyn TableProvider>> {
        if let Some(outcome) = self.known() {
            return outcome;
        }
        let _turn = self.opening.lock().await;
        if let Some(outcome) = self.known() {
            return outcome;
        }
        let opened = opener.open(&self.definition).await;
        let (outcome, answer) = match opened {
            Ok(table) => (Outcome::Open(Arc::clone(&table)), Ok(table)),
            Err(error) => (Outcome::Broken { error: error.copied(), at: Instant::now() }, Err(error)),
        };
        *self.outcome.lock() = outcome;
        answer
    }

    fn known(&self) -> Option<Result<Arc<dyn TableProvider>>> {
        match &*self.outcome.lock() {
            Outcome::Open(table) => Some(Ok(Arc::clone(table))),
            Outcome::Broken { error, at } if at.elapsed() < RETRY_AFTER => Some(Err(error.copied())),
            Outcome::Broken { .. } | Outcome::Unopened => None,
        }
    }

    fn status(&self) -> (TableStatus, Option<String>) {
        match &*self.outcome.lock() {
            Outcome::Unopened => (TableStatus::Unopened, None),
            Outcome::Open(_) => (TableStatus::Open, None),
            Outcome::Broken { error, .. } => (TableStatus::Broken, Some(error.to_string())),
        }
    }
}

/// An in-memory table as DataFusion sees it.
pub(crate) fn memory_provider(table: &Arc<MemoryTable>) -> Arc<dyn TableProvider> {
    Arc::new(Table::new(Arc::clone(table)))
}
