//! Catalogs, schemas, tables and views; and what the server tells about itself as tables.
//!
//! ```text
//! Catalogs            the tree that all sessions share; DDL; listings as plain data   registry, tree, ddl, listing, primary_keys
//!   TableEntry        a table over files (opened at first use), in memory, or a view  entry, folder, memory, view
//!   CatalogStore      where what SQL makes is kept: the seam for durable catalogs     store
//! SessionCatalogs     the tree as one statement sees it, for DataFusion               overlay
//!   information_schema, system   in every catalog; rows made when read                rows, census
//! Scan, Table<T>      the one implementation of DataFusion's TableProvider            scan
//! ```
//!
//! What the engine does with it: [`Catalogs::start`] once; for each statement `SessionCatalogs::new(Scope { .. })` as the
//! `catalog_list` of its DataFusion state (with DataFusion's own `information_schema` off); `memory::rewrite_dml` on each
//! logical plan before it is optimized; `Catalogs::create_table` and its siblings for DDL. It provides three seams:
//! [`OpenTable`] (storage), [`Census`] (what goes on) and `PlanView` (the planner, for views).
//!
//! Invariants: a listing opens no table, and a broken table breaks no listing; a table is opened once, however many
//! queries wait for it; a change is in the store before anybody sees it; a statement sees the catalog of one moment.

mod census;
mod ddl;
mod definition;
mod entry;
mod folder;
mod information_schema;
mod listing;
pub(crate) mod memory;
mod overlay;
mod primary_keys;
mod registry;
mod rows;
pub(crate) mod scan;
mod statement;
mod statistics;
mod store;
mod system;
#[cfg(test)]
mod tests;
mod tree;
mod types;
mod view;

use std::sync::Arc;

use datafusion::catalog::TableProvider;

pub use census::{Census, FunctionInfo, FunctionKind, MemoryInfo, MemoryScope, NodeInfo};
pub(crate) use ddl::{Dropped, IfExists, NewTable};
pub use definition::{OpenTable, ViewDefinition};
pub use entry::{TableKind, TableStatus};
pub use listing::{ColumnInfo, TableDetail, TableEntryInfo};
pub(crate) use memory::MemoryTable;
pub use memory::{ConstraintInfo, ConstraintKind};
pub(crate) use overlay::{NamedTables, Scope, SessionCatalogs};
pub use primary_keys::PrimaryKey;
pub use registry::Catalogs;
pub use statistics::{ColumnStatistics, Figure, TableStatistics};
pub use store::{CatalogChange, CatalogStore, MemoryStore, StoredEntry};
pub(crate) use view::PlanView;

pub use crate::storage::TableDefinition;

/// The catalog of a new session, and the home of what SQL makes.
pub const DEFAULT_CATALOG: &str = "tidemill";
/// The schema of a new session.
pub const DEFAULT_SCHEMA: &str = "public";

/// The schemas that every catalog has.
const VIRTUAL_SCHEMAS: [&str; 2] = [information_schema::SCHEMA.name, system::SCHEMA.name];

/// Makes a table as a session sees it.
type MakeTable = fn(&SessionCatalogs) -> rows::VirtualTable;

/// A schema of tables that the server computes.
#[derive(Debug)]
struct VirtualSchema {
    name: &'static str,
    tables: &'static [(&'static str, MakeTable)],
}

impl VirtualSchema {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().map(|(name, _)| *name)
    }

    fn has(&self, table: &str) -> bool {
        self.names().any(|name| name == table)
    }

    fn table(&self, name: &str, catalogs: &SessionCatalogs) -> Option<Arc<dyn TableProvider>> {
        let (_, make) = self.tables.iter().find(|(known, _)| *known == name)?;
        Some(Arc::new(scan::Table::new(Arc::new(make(catalogs)))))
    }
}

fn virtual_schema(name: &str) -> Option<&'static VirtualSchema> {
    [&information_schema::SCHEMA, &system::SCHEMA].into_iter().find(|schema| schema.name == name)
}

pub(crate) fn is_virtual(schema: &str) -> bool {
    VIRTUAL_SCHEMAS.contains(&schema)
}
