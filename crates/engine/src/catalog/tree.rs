//! The tree of catalogs, schemas and tables: plain maps of shared nodes, so that a copy for one statement, or for one
//! change, copies pointers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definition::OpenTable;
use super::entry::{Origin, TableEntry};
use super::folder::Folder;
use super::{DEFAULT_CATALOG, DEFAULT_SCHEMA, VIRTUAL_SCHEMAS, virtual_schema};
use crate::config::CatalogConfig;
use crate::error::{Error, Result, Subject};
use crate::plan::suggest::closest;
use crate::storage::TableDefinition;

/// All catalogs.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) catalogs: BTreeMap<Arc<str>, Arc<CatalogNode>>,
}

/// One catalog.
#[derive(Debug, Clone)]
pub(crate) struct CatalogNode {
    pub(crate) schemas: BTreeMap<Arc<str>, Arc<SchemaNode>>,
}

/// One schema.
#[derive(Debug, Clone)]
pub(crate) struct SchemaNode {
    pub(crate) origin: Origin,
    /// Tables that are found in a folder, besides those below.
    pub(crate) folder: Option<Arc<Folder>>,
    pub(crate) tables: BTreeMap<Arc<str>, Arc<TableEntry>>,
}

impl Tree {
    /// The built-in catalog and those that the configuration declares. Opens and lists nothing.
    pub(crate) fn declared(config: &BTreeMap<String, CatalogConfig>) -> Self {
        let mut tree = Self { catalogs: BTreeMap::new() };
        tree.catalog_mut(DEFAULT_CATALOG).schema_mut(DEFAULT_SCHEMA, Origin::BuiltIn);
        for (name, catalog) in config {
            let node = tree.catalog_mut(name);
            for (name, schema) in &catalog.schemas {
                let node = node.schema_mut(name, Origin::Declared);
                node.folder = schema.location.clone().map(|location| Arc::new(Folder::new(location)));
                for (name, table) in &schema.tables {
                    let entry = TableEntry::external(name, Origin::Declared, TableDefinition::from(table));
                    node.tables.insert(Arc::clone(&entry.name), Arc::new(entry));
                }
            }
        }
        tree
    }

    /// The catalog of this name, or an error that knows similar names.
    pub(crate) fn catalog(&self, name: &str) -> Result<&Arc<CatalogNode>> {
        self.catalogs.get(name).ok_or_else(|| {
            Error::not_found(Subject::Catalog, format!("catalog '{name}' not found"))
                .suggest(closest(name, self.catalogs.keys().map(AsRef::as_ref)))
        })
    }

    /// The schema of this name, or an error that knows similar names.
    pub(crate) fn schema(&self, catalog: &str, name: &str) -> Result<&Arc<SchemaNode>> {
        let node = self.catalog(catalog)?;
        node.schemas.get(name).ok_or_else(|| {
            let known = node.schemas.keys().map(AsRef::as_ref).chain(VIRTUAL_SCHEMAS);
            Error::not_found(Subject::Schema, format!("schema '{catalog}.{name}' not found"))
                .suggest(closest(name, known))
        })
    }

    /// Whether there is such a schema. Each catalog has the virtual ones.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(crate) fn require_schema(&self, catalog: &str, name: &str) -> Result<()> {
        match virtual_schema(name) {
            Some(_) => self.catalog(catalog).map(drop),
            None => self.schema(catalog, name).map(drop),
        }
    }

    /// The catalog of this name, to be changed; made if there is none.
    pub(crate) fn catalog_mut(&mut self, name: &str) -> &mut CatalogNode {
        let node =
            self.catalogs.entry(name.into()).or_insert_with(|| Arc::new(CatalogNode { schemas: BTreeMap::new() }));
        Arc::make_mut(node)
    }
}

impl CatalogNode {
    /// The schema of this name, to be changed; made if there is none.
    pub(crate) fn schema_mut(&mut self, name: &str, origin: Origin) -> &mut SchemaNode {
        let node = self
            .schemas
            .entry(name.into())
            .or_insert_with(|| Arc::new(SchemaNode { origin, folder: None, tables: BTreeMap::new() }));
        Arc::make_mut(node)
    }
}

impl SchemaNode {
    /// The table of this name. Lists the schema's folder if need be; an error means that it could not be listed.
    pub(crate) async fn table(&self, name: &str, opener: &dyn OpenTable) -> Result<Option<Arc<TableEntry>>> {
        if let Some(entry) = self.tables.get(name) {
            return Ok(Some(Arc::clone(entry)));
        }
        match &self.folder {
            Some(folder) => Ok(folder.tables(opener).await?.get(name).cloned()),
            None => Ok(None),
        }
    }

    /// Its tables by name. A folder that can not be listed is reported in the log and adds what it last had, so that
    /// one broken folder breaks no listing.
    pub(crate) async fn tables(&self, opener: &dyn OpenTable) -> BTreeMap<Arc<str>, Arc<TableEntry>> {
        let mut all = BTreeMap::new();
        if let Some(folder) = &self.folder {
            let listing = match folder.tables(opener).await {
                Ok(listing) => listing,
                Err(error) => {
                    tracing::warn!(folder = folder.location(), %error, "cannot list the tables of a folder");
                    folder.last()
                }
            };
            all.extend(listing.iter().map(|(name, entry)| (Arc::clone(name), Arc::clone(entry))));
        }
        all.extend(self.tables.iter().map(|(name, entry)| (Arc::clone(name), Arc::clone(entry))));
        all
    }

    /// Its tables as far as they are known without any IO.
    pub(crate) fn known(&self) -> BTreeMap<Arc<str>, Arc<TableEntry>> {
        let mut all = match &self.folder {
            Some(folder) => (*folder.last()).clone(),
            None => BTreeMap::new(),
        };
        all.extend(self.tables.iter().map(|(name, entry)| (Arc::clone(name), Arc::clone(entry))));
        all
    }
}
