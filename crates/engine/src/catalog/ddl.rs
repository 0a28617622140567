//! Changes of the catalog by SQL: what may be made and dropped, and in which order it becomes visible.

use std::sync::Arc;

use datafusion::common::ResolvedTableReference;

use super::definition::ViewDefinition;
use super::entry::{Body, Origin, TableEntry, TableKind};
use super::is_virtual;
use super::memory::MemoryTable;
use super::registry::Catalogs;
use super::statement::create_statement;
use super::store::{CatalogChange, StoredEntry};
use super::tree::{SchemaNode, Tree};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::plan::suggest::closest;
use crate::storage::TableDefinition;

/// What `CREATE TABLE` or `CREATE VIEW` makes.
#[derive(Debug)]
pub(crate) enum NewTable {
    /// Over files.
    External(TableDefinition),
    /// In memory, with its first contents.
    Memory(Arc<MemoryTable>),
    /// A stored query.
    View(ViewDefinition),
}

/// What happens if the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfExists {
    /// An error.
    Fail,
    /// `IF NOT EXISTS`: nothing.
    Keep,
    /// `OR REPLACE`: the new one takes the place of the old one.
    Replace,
}

/// What `DROP` expects under the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    Table,
    View,
}

impl Catalogs {
    /// `CREATE DATABASE`; false if it existed and `keep` is set.
    ///
    /// # Errors
    /// `Conflict` if it exists.
    pub(crate) async fn create_catalog(&self, name: &str, keep: bool) -> Result<bool> {
        let _turn = self.changing.lock().await;
        if self.snapshot().catalogs.contains_key(name) {
            return if keep {
                Ok(false)
            } else {
                Err(Error::conflict(Subject::Catalog, format!("catalog '{name}' exists already")))
            };
        }
        self.change(CatalogChange::CreateCatalog(name.to_owned()), None).await?;
        Ok(true)
    }

    /// `CREATE SCHEMA`; false if it existed and `keep` is set.
    ///
    /// # Errors
    /// `NotFound` for the catalog, `Conflict` if the schema exists.
    pub(crate) async fn create_schema(&self, catalog: &str, name: &str, keep: bool) -> Result<bool> {
        let _turn = self.changing.lock().await;
        let tree = self.snapshot();
        if tree.catalog(catalog)?.schemas.contains_key(name) || is_virtual(name) {
            return if keep {
                Ok(false)
            } else {
                Err(Error::conflict(Subject::Schema, format!("schema '{catalog}.{name}' exists already")))
            };
        }
        self.change(CatalogChange::CreateSchema(catalog.to_owned(), name.to_owned()), None).await?;
        Ok(true)
    }

    /// `DROP SCHEMA`; false if there was none and `if_exists` is set.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden` for schemas that SQL did not make, `Conflict` if it has tables and `cascade` is not set.
    pub(crate) async fn drop_schema(&self, catalog: &str, name: &str, if_exists: bool, cascade: bool) -> Result<bool> {
        let _turn = self.changing.lock().await;
        let tree = self.snapshot();
        changeable(catalog, name)?;
        let node = match tree.schema(catalog, name) {
            Ok(node) => node,
            Err(error) if if_exists && error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        droppable(node.origin, &format!("schema '{catalog}.{name}'"))?;
        if !cascade && let Some(table) = node.tables.keys().next() {
            return Err(Error::conflict(
                Subject::Dependents,
                format!("schema '{catalog}.{name}' holds table '{table}'"),
            )
            .hint("drop its tables first, or use DROP SCHEMA ... CASCADE"));
        }
        self.change(CatalogChange::DropSchema(catalog.to_owned(), name.to_owned()), None).await?;
        Ok(true)
    }

    /// `CREATE [OR REPLACE] TABLE`, `EXTERNAL TABLE` and `VIEW`; false if the name was taken and is kept.
    ///
    /// A table over files is opened first, so that a wrong location fails here and not at the first query.
    ///
    /// # Errors
    /// `NotFound` for catalog or schema, `Conflict` if the name is taken, `Forbidden` in system schemas and in the place
    /// of declared tables, and whatever opening the table says.
    pub(crate) async fn create_table(
        &self,
        name: &ResolvedTableReference,
        table: NewTable,
        if_exists: IfExists,
    ) -> Result<bool> {
        let entry =
            Arc::new(TableEntry { name: Arc::clone(&name.table), origin: Origin::Statement, body: table.body() });
        if self.existing(name, entry.kind(), if_exists).await?.is_some() && if_exists == IfExists::Keep {
            return Ok(false);
        }
        // Without the turn: a slow store must not hold up every other change.
        if let Body::External(slot) = &entry.body {
            slot.open(self.opener.as_ref()).await?;
        }
        let _turn = self.changing.lock().await;
        if self.existing(name, entry.kind(), if_exists).await?.is_some() && if_exists == IfExists::Keep {
            return Ok(false);
        }
        self.change(CatalogChange::Put(name.clone(), entry.stored()), Some(entry)).await?;
        Ok(true)
    }

    /// Whether a table in memory of this name may be created; false if the name is taken and is kept.
    ///
    /// # Errors
    /// As for [`Catalogs::create_table`].
    pub(crate) async fn may_create(&self, name: &ResolvedTableReference, if_exists: IfExists) -> Result<bool> {
        let taken = self.existing(name, TableKind::Memory, if_exists).await?.is_some();
        Ok(!(taken && if_exists == IfExists::Keep))
    }

    /// The statement that would make the table or view of this name again.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(crate) async fn statement(&self, name: &ResolvedTableReference) -> Result<String> {
        Ok(create_statement(name, self.entry(name).await?.as_ref()))
    }

    /// `DROP TABLE` and `DROP VIEW`; false if there was none and `if_exists` is set.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden` for tables that SQL did not make, `Invalid` for a view dropped as a table or the reverse.
    pub(crate) async fn drop_table(
        &self,
        name: &ResolvedTableReference,
        dropped: Dropped,
        if_exists: bool,
    ) -> Result<bool> {
        let _turn = self.changing.lock().await;
        changeable(&name.catalog, &name.schema)?;
        let entry = match self.entry(name).await {
            Ok(entry) => entry,
            Err(error) if if_exists && error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match (dropped, entry.kind() == TableKind::View) {
            (Dropped::Table, true) => {
                return Err(Error::invalid(format!("'{name}' is a view")).hint("use DROP VIEW"));
            }
            (Dropped::View, false) => {
                return Err(Error::invalid(format!("'{name}' is a table")).hint("use DROP TABLE"));
            }
            (Dropped::Table, false) | (Dropped::View, true) => {}
        }
        droppable(entry.origin, &format!("'{name}'"))?;
        self.change(CatalogChange::Drop(name.clone()), None).await?;
        Ok(true)
    }

    /// Puts a table in memory in the place of the one that it was made from, under another name if `to` is one.
    ///
    /// # Errors
    /// `Conflict` if the name is taken, or stands for another table by now.
    pub(crate) async fn alter_table(
        &self,
        from: &ResolvedTableReference,
        old: &Arc<MemoryTable>,
        to: &ResolvedTableReference,
        new: Arc<MemoryTable>,
    ) -> Result<()> {
        let _turn = self.changing.lock().await;
        let entry = self.entry(from).await?;
        if !matches!(&entry.body, Body::Memory(table) if Arc::ptr_eq(table, old)) {
            let message = format!("table '{from}' was replaced by another statement in the meantime");
            return Err(Error::conflict(Subject::Concurrency, message).hint("run the statement again"));
        }
        if to != from {
            self.existing(to, TableKind::Memory, IfExists::Fail).await?;
            self.store.apply(&CatalogChange::Drop(from.clone())).await?;
        }
        let entry = TableEntry { name: Arc::clone(&to.table), origin: entry.origin, body: Body::Memory(new) };
        self.store.apply(&CatalogChange::Put(to.clone(), entry.stored())).await?;
        let mut tree = Tree::clone(&self.snapshot());
        tree.replay(CatalogChange::Drop(from.clone()));
        tree.put(to, Arc::new(entry));
        self.publish(tree);
        Ok(())
    }

    /// The table in memory of this name.
    ///
    /// # Errors
    /// `NotFound`, with similar names; `Unsupported` for other tables, `Invalid` for views.
    pub(crate) async fn memory_table(&self, name: &ResolvedTableReference) -> Result<Arc<MemoryTable>> {
        changeable(&name.catalog, &name.schema)?;
        match &self.entry(name).await?.body {
            Body::Memory(table) => Ok(Arc::clone(table)),
            Body::View(_) => {
                Err(Error::invalid(format!("'{name}' is a view")).hint("use CREATE OR REPLACE VIEW to change it"))
            }
            Body::External(_) => {
                Err(Error::unsupported(format!("table '{name}' is over files and can not be altered"))
                    .hint("use CREATE OR REPLACE EXTERNAL TABLE"))
            }
        }
    }

    /// The entry of this name.
    ///
    /// # Errors
    /// `NotFound`, with similar names; an error of the store if its folder can not be listed.
    pub(crate) async fn entry(&self, name: &ResolvedTableReference) -> Result<Arc<TableEntry>> {
        let tree = self.snapshot();
        let schema = tree.schema(&name.catalog, &name.schema)?;
        match schema.table(&name.table, self.opener.as_ref()).await? {
            Some(entry) => Ok(entry),
            None => Err(unknown_table(name, schema)),
        }
    }

    /// What has the name already, if the new table may stand in its place or leave it there.
    async fn existing(
        &self,
        name: &ResolvedTableReference,
        kind: TableKind,
        if_exists: IfExists,
    ) -> Result<Option<Arc<TableEntry>>> {
        changeable(&name.catalog, &name.schema)?;
        let tree = self.snapshot();
        let schema = tree.schema(&name.catalog, &name.schema)?;
        let Some(entry) = schema.table(&name.table, self.opener.as_ref()).await? else { return Ok(None) };
        match if_exists {
            IfExists::Keep => Ok(Some(entry)),
            IfExists::Fail => Err(Error::conflict(Subject::Table, format!("'{name}' exists already"))
                .hint("use CREATE OR REPLACE, or IF NOT EXISTS")),
            IfExists::Replace => {
                droppable(entry.origin, &format!("'{name}'"))?;
                if (entry.kind() == TableKind::View) != (kind == TableKind::View) {
                    return Err(Error::conflict(Subject::Table, format!("'{name}' is a {}", entry.kind().name()))
                        .hint("drop it first: a view does not replace a table, nor a table a view"));
                }
                Ok(Some(entry))
            }
        }
    }

    /// Writes a change to the store and then makes it visible. The caller holds the turn.
    async fn change(&self, change: CatalogChange, entry: Option<Arc<TableEntry>>) -> Result<()> {
        self.store.apply(&change).await?;
        let mut tree = Tree::clone(&self.snapshot());
        match (change, entry) {
            (CatalogChange::Put(name, _), Some(entry)) => tree.put(&name, entry),
            (change, _) => tree.replay(change),
        }
        self.publish(tree);
        Ok(())
    }
}

impl Tree {
    /// Makes a stored change. What it names and is not there is made.
    pub(super) fn replay(&mut self, change: CatalogChange) {
        match change {
            CatalogChange::CreateCatalog(name) => {
                self.catalog_mut(&name);
            }
            CatalogChange::CreateSchema(catalog, schema) => {
                self.catalog_mut(&catalog).schema_mut(&schema, Origin::Statement);
            }
            CatalogChange::DropSchema(catalog, schema) => {
                self.catalog_mut(&catalog).schemas.remove(schema.as_str());
            }
            CatalogChange::Put(name, StoredEntry::External(definition)) => {
                let entry = TableEntry::external(&name.table, Origin::Statement, definition);
                self.put(&name, Arc::new(entry));
            }
            CatalogChange::Put(name, StoredEntry::View(view)) => {
                let body = Body::View(view);
                let entry = TableEntry { name: Arc::clone(&name.table), origin: Origin::Statement, body };
                self.put(&name, Arc::new(entry));
            }
            // Its contents died with the server that held them.
            CatalogChange::Put(_, StoredEntry::Memory) => {}
            CatalogChange::Drop(name) => {
                self.schema_of(&name).tables.remove(&name.table);
            }
        }
    }

    fn put(&mut self, name: &ResolvedTableReference, entry: Arc<TableEntry>) {
        self.schema_of(name).tables.insert(Arc::clone(&name.table), entry);
    }

    fn schema_of(&mut self, name: &ResolvedTableReference) -> &mut SchemaNode {
        self.catalog_mut(&name.catalog).schema_mut(&name.schema, Origin::Statement)
    }
}

impl NewTable {
    fn body(self) -> Body {
        match self {
            Self::External(definition) => Body::External(super::entry::Slot::new(definition)),
            Self::Memory(table) => Body::Memory(table),
            Self::View(view) => Body::View(view),
        }
    }
}

impl TableEntry {
    fn stored(&self) -> StoredEntry {
        match &self.body {
            Body::External(slot) => StoredEntry::External(slot.definition().clone()),
            Body::Memory(_) => StoredEntry::Memory,
            Body::View(view) => StoredEntry::View(view.clone()),
        }
    }
}

/// The error for a table that is not in this schema.
pub(super) fn unknown_table(name: &ResolvedTableReference, schema: &SchemaNode) -> Error {
    let known = schema.known();
    Error::not_found(Subject::Table, format!("table '{name}' not found"))
        .suggest(closest(&name.table, known.keys().map(AsRef::as_ref)))
}

fn changeable(catalog: &str, schema: &str) -> Result<()> {
    if is_virtual(schema) {
        return Err(Error::new(ErrorKind::Forbidden, format!("'{catalog}.{schema}' is a system schema"))
            .hint("choose another schema"));
    }
    Ok(())
}

fn droppable(origin: Origin, what: &str) -> Result<()> {
    match origin {
        Origin::Statement => Ok(()),
        Origin::BuiltIn => Err(Error::new(ErrorKind::Forbidden, format!("{what} is built in"))),
        Origin::Declared => {
            Err(Error::new(ErrorKind::Forbidden, format!("{what} is declared in the server's configuration"))
                .hint("change the configuration under [catalogs] instead"))
        }
    }
}
