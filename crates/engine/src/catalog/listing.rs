//! What is there, as plain data: for doors, for `information_schema` and for `system.tables`. Nothing here opens a table
//! but [`Catalogs::table`], which is about one.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::ResolvedTableReference;
use datafusion::common::stats::Precision;
use serde::Serialize;

use super::ddl::unknown_table;
use super::entry::{Body, TableEntry, TableKind, TableStatus, memory_provider};
use super::memory::{ConstraintInfo, Shape, memory_table};
use super::overlay::SessionCatalogs;
use super::registry::Catalogs;
use super::rows::COMMENT;
use super::statement::create_statement;
use super::tree::Tree;
use super::{VIRTUAL_SCHEMAS, virtual_schema};
use crate::auth::Principal;
use crate::error::{Error, Result, Subject};
use crate::plan::suggest::closest;
use crate::sql_type::sql_type;
use crate::wire::plain_schema;

/// A table in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableEntryInfo {
    /// Its name in the schema.
    pub name: String,
    /// What sort of table it is.
    pub kind: TableKind,
    /// How it fares.
    pub status: TableStatus,
    /// Why it is broken.
    pub error: Option<String>,
}

/// All that is known of one table.
#[derive(Debug, Clone, Serialize)]
pub struct TableDetail {
    /// Its catalog.
    pub catalog: String,
    /// Its schema.
    pub schema: String,
    /// Its name in the schema.
    pub name: String,
    /// What sort of table it is.
    pub kind: TableKind,
    /// How it fares.
    pub status: TableStatus,
    /// Why it is broken.
    pub error: Option<String>,
    /// Its columns, in order; empty if it is broken.
    pub columns: Vec<ColumnInfo>,
    /// Its schema as results would have it, but for what may be missing; absent if it is broken.
    #[serde(skip)]
    pub arrow_schema: Option<SchemaRef>,
    /// Its constraints, all of them enforced.
    pub constraints: Vec<ConstraintInfo>,
    /// Its rows, if known without reading it.
    pub rows: Option<u64>,
    /// Its bytes, in memory or on disk, if known without reading it.
    pub bytes: Option<u64>,
    /// URLs or paths of its files.
    pub location: Vec<String>,
    /// The statement that would make it again.
    pub definition: Option<String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type in SQL.
    #[serde(rename = "type")]
    pub sql_type: String,
    /// Its type in Arrow.
    pub arrow_type: String,
    /// Whether values may be missing.
    pub nullable: bool,
    /// What an `INSERT` that does not name it puts there, as SQL; null if absent.
    pub default: Option<String>,
    /// What it means, if told.
    pub comment: Option<String>,
}

/// A table as the virtual schemas list it.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) catalog: Arc<str>,
    pub(super) schema: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) kind: TableKind,
    pub(super) temporary: bool,
    pub(super) status: TableStatus,
    pub(super) error: Option<String>,
    /// Absent for virtual tables and temporary views.
    pub(super) entry: Option<Arc<TableEntry>>,
}

impl Listed {
    pub(super) fn reference(&self) -> ResolvedTableReference {
        ResolvedTableReference {
            catalog: Arc::clone(&self.catalog),
            schema: Arc::clone(&self.schema),
            table: Arc::clone(&self.name),
        }
    }

    /// The statement that would make it again, unless SQL can not.
    pub(super) fn definition(&self) -> Option<String> {
        self.entry.as_ref().map(|entry| create_statement(&self.reference(), entry))
    }
}

impl Catalogs {
    /// The catalogs that the principal may see.
    pub fn catalog_names(&self, principal: &Principal) -> Vec<String> {
        // Every principal may see everything until there are grants.
        let _ = principal;
        self.snapshot().catalogs.keys().map(ToString::to_string).collect()
    }

    /// The schemas of a catalog that the principal may see, the virtual ones included.
    ///
    /// # Errors
    /// `NotFound` for the catalog.
    pub fn schema_names(&self, principal: &Principal, catalog: &str) -> Result<Vec<String>> {
        let _ = principal;
        let tree = self.snapshot();
        let mut names: Vec<_> = tree.catalog(catalog)?.schemas.keys().map(ToString::to_string).collect();
        names.extend(VIRTUAL_SCHEMAS.map(str::to_owned));
        names.sort();
        Ok(names)
    }

    /// The tables of a schema that the principal may see. May list a folder, but opens no table.
    ///
    /// # Errors
    /// `NotFound` for catalog or schema.
    pub async fn tables(&self, principal: &Principal, catalog: &str, schema: &str) -> Result<Vec<TableEntryInfo>> {
        let _ = principal;
        let tree = self.snapshot();
        tree.catalog(catalog)?;
        if let Some(schema) = virtual_schema(schema) {
            return Ok(schema.names().map(TableEntryInfo::of_system).collect());
        }
        let tables = tree.schema(catalog, schema)?.tables(self.opener().as_ref()).await;
        Ok(tables.values().map(|entry| TableEntryInfo::from(entry.as_ref())).collect())
    }

    /// One table, which is opened if it was not yet. A table that can not be opened is told about with its error.
    ///
    /// Views and system tables need a session to be planned: use `SessionCatalogs::detail` for their columns.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub async fn table(&self, principal: &Principal, catalog: &str, schema: &str, table: &str) -> Result<TableDetail> {
        let _ = principal;
        let name = ResolvedTableReference { catalog: catalog.into(), schema: schema.into(), table: table.into() };
        if let Some(schema) = virtual_schema(schema) {
            self.snapshot().catalog(catalog)?;
            return if schema.has(table) {
                Ok(TableDetail::new(&name, TableEntryInfo::of_system(table)))
            } else {
                Err(Error::not_found(Subject::Table, format!("table '{name}' not found"))
                    .suggest(closest(table, schema.names())))
            };
        }
        let entry = self.entry(&name).await?;
        let opened = match &entry.body {
            Body::External(slot) => slot.open(self.opener().as_ref()).await.ok(),
            Body::Memory(table) => Some(memory_provider(table)),
            Body::View(_) => None,
        };
        Ok(TableDetail::of_entry(&name, &entry, opened.as_ref()))
    }

    /// Every table in this tree that the principal may see, the virtual ones included.
    pub(super) async fn listed(&self, principal: &Principal, tree: &Tree) -> Vec<Listed> {
        let _ = principal;
        let mut all = Vec::new();
        for (catalog, node) in &tree.catalogs {
            for (schema, node) in &node.schemas {
                for (name, entry) in node.tables(self.opener().as_ref()).await {
                    let (status, error) = entry.status();
                    all.push(Listed {
                        catalog: Arc::clone(catalog),
                        schema: Arc::clone(schema),
                        name,
                        kind: entry.kind(),
                        temporary: false,
                        status,
                        error,
                        entry: Some(entry),
                    });
                }
            }
            for schema in VIRTUAL_SCHEMAS.iter().filter_map(|name| virtual_schema(name)) {
                all.extend(schema.names().map(|name| Listed {
                    catalog: Arc::clone(catalog),
                    schema: schema.name.into(),
                    name: name.into(),
                    kind: TableKind::System,
                    temporary: false,
                    status: TableStatus::Open,
                    error: None,
                    entry: None,
                }));
            }
        }
        all
    }
}

impl SessionCatalogs {
    /// One table as [`Catalogs::table`] tells of it, with the columns of views and system tables too.
    ///
    /// # Errors
    /// `NotFound`, with similar names.
    pub(crate) async fn detail(&self, name: &ResolvedTableReference) -> Result<TableDetail> {
        let opened = self.table(name).await;
        let mut detail = match (&opened, self.tree().schema(&name.catalog, &name.schema)) {
            (Ok(None), Ok(schema)) => return Err(unknown_table(name, schema)),
            _ => {
                let scope = self.scope();
                scope.catalogs.table(&scope.principal, &name.catalog, &name.schema, &name.table).await?
            }
        };
        match opened {
            Ok(Some(table)) => detail.read(&table),
            Ok(None) => {}
            Err(error) => {
                detail.status = TableStatus::Broken;
                detail.error = Some(error.to_string());
            }
        }
        Ok(detail)
    }
}

impl TableEntryInfo {
    fn of_system(name: &str) -> Self {
        Self { name: name.to_owned(), kind: TableKind::System, status: TableStatus::Open, error: None }
    }
}

impl From<&TableEntry> for TableEntryInfo {
    fn from(entry: &TableEntry) -> Self {
        let (status, error) = entry.status();
        Self { name: entry.name.to_string(), kind: entry.kind(), status, error }
    }
}

impl TableDetail {
    fn new(name: &ResolvedTableReference, info: TableEntryInfo) -> Self {
        Self {
            catalog: name.catalog.to_string(),
            schema: name.schema.to_string(),
            name: info.name,
            kind: info.kind,
            status: info.status,
            error: info.error,
            columns: Vec::new(),
            arrow_schema: None,
            constraints: Vec::new(),
            rows: None,
            bytes: None,
            location: Vec::new(),
            definition: None,
        }
    }

    fn of_entry(name: &ResolvedTableReference, entry: &TableEntry, opened: Option<&Arc<dyn TableProvider>>) -> Self {
        let mut detail = Self::new(name, TableEntryInfo::from(entry));
        detail.location = entry.location().to_vec();
        detail.definition = Some(create_statement(name, entry));
        if let Some(table) = opened {
            detail.read(table);
        }
        detail
    }

    fn read(&mut self, table: &Arc<dyn TableProvider>) {
        self.status = TableStatus::Open;
        self.error = None;
        let schema = table.schema();
        let memory = memory_table(table);
        let shape = memory.as_ref().map(|table| table.shape());
        self.columns = columns_of(&schema, shape);
        self.constraints = shape.map(Shape::constraints).unwrap_or_default();
        self.arrow_schema = Some(plain_schema(&schema));
        if let Some(statistics) = table.statistics() {
            self.rows = known(&statistics.num_rows);
            self.bytes = known(&statistics.total_byte_size);
        }
    }
}

fn columns_of(schema: &Schema, shape: Option<&Shape>) -> Vec<ColumnInfo> {
    let column = |field: &arrow::datatypes::FieldRef| ColumnInfo {
        name: field.name().clone(),
        sql_type: sql_type(field.data_type()),
        arrow_type: field.data_type().to_string(),
        nullable: field.is_nullable(),
        default: shape.and_then(|shape| shape.default_of(field.name())).map(ToString::to_string),
        comment: field.metadata().get(COMMENT).cloned(),
    };
    schema.fields().iter().map(column).collect()
}

fn known(count: &Precision<usize>) -> Option<u64> {
    count.get_value().and_then(|count| u64::try_from(*count).ok())
}
