//! The seam for durable catalogs: what is made by SQL is written here before anybody can see it.

use std::fmt;

use datafusion::common::ResolvedTableReference;
use futures::future::{self, BoxFuture, FutureExt};

use super::definition::ViewDefinition;
use crate::error::Result;
use crate::storage::TableDefinition;

/// A change of the catalog, made by SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogChange {
    /// `CREATE DATABASE`.
    CreateCatalog(String),
    /// `CREATE SCHEMA`: catalog and schema.
    CreateSchema(String, String),
    /// `DROP SCHEMA`: catalog and schema, with all that is in it.
    DropSchema(String, String),
    /// A table or view is made, or takes the place of the one of its name.
    Put(ResolvedTableReference, StoredEntry),
    /// A table or view is dropped.
    Drop(ResolvedTableReference),
}

/// What a store keeps of a table or view.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredEntry {
    /// Over files.
    External(TableDefinition),
    /// A stored query.
    View(ViewDefinition),
    /// In the server's memory: its contents die with the server, so a durable store forgets it.
    Memory,
}

/// Keeps what SQL made across restarts.
pub trait CatalogStore: fmt::Debug + Send + Sync {
    /// The changes that lead from the declared catalogs to the kept state, in order.
    fn load(&self) -> BoxFuture<'_, Result<Vec<CatalogChange>>>;

    /// Makes one change durable. It becomes visible only if this succeeds; changes arrive one after another.
    fn apply(&self, change: &CatalogChange) -> BoxFuture<'_, Result<()>>;
}

/// Keeps nothing: the catalog lives as long as the server.
#[derive(Debug, Default)]
pub struct MemoryStore;

impl CatalogStore for MemoryStore {
    fn load(&self) -> BoxFuture<'_, Result<Vec<CatalogChange>>> {
        future::ok(Vec::new()).boxed()
    }

    fn apply(&self, _change: &CatalogChange) -> BoxFuture<'_, Result<()>> {
        future::ok(()).boxed()
    }
}
