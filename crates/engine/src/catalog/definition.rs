//! What a table or view is defined by, and who can open it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use futures::future::BoxFuture;

use crate::config::TableConfig;
use crate::error::Result;

/// What a table over files is defined by.
#[derive(Clone, Default, PartialEq)]
pub struct TableDefinition {
    /// URLs or paths of files, folders or globs.
    pub location: Vec<String>,
    /// `parquet`, `csv`, `json`, `arrow` or `avro`; by default what the extension says.
    pub format: Option<String>,
    /// Hive partition columns, in the order of the folders.
    pub partitioned_by: Vec<String>,
    /// The columns, if declared rather than inferred.
    pub schema: Option<SchemaRef>,
    /// Options of the format. They may hold credentials, so no listing shows their values.
    pub options: BTreeMap<String, String>,
    /// Declared in the configuration: what statements may name does not bind the operator.
    pub by_operator: bool,
}

impl TableDefinition {
    /// The files at this URL or path, in the format that its extension says.
    pub fn at(location: impl Into<String>) -> Self {
        Self { location: vec![location.into()], ..Self::default() }
    }
}

impl From<&TableConfig> for TableDefinition {
    fn from(config: &TableConfig) -> Self {
        Self {
            location: vec![config.location.clone()],
            format: config.format.clone(),
            partitioned_by: config.partitioned_by.clone(),
            schema: None,
            options: config.options.clone(),
            by_operator: true,
        }
    }
}

impl fmt::Debug for TableDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableDefinition")
            .field("location", &self.location)
            .field("format", &self.format)
            .field("partitioned_by", &self.partitioned_by)
            .field("schema", &self.schema)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// What a view is defined by. It is planned anew whenever it is used, so it sees tables that were replaced since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDefinition {
    /// The query.
    pub sql: String,
    /// Names for its columns; those of the query if empty.
    pub columns: Vec<String>,
    /// The catalog of the query's unqualified names: that of the session that created the view.
    pub catalog: String,
    /// The schema of the query's unqualified names.
    pub schema: String,
}

/// Opens tables over files: resolves the store, lists, infers the schema. Storage implements it; the catalog calls it at
/// the first use of a table and keeps the outcome.
pub trait OpenTable: fmt::Debug + Send + Sync {
    /// The table of this definition.
    fn open(&self, definition: &TableDefinition) -> BoxFuture<'static, Result<Arc<dyn TableProvider>>>;

    /// The tables in a folder, as names and definitions: `orders.parquet` and `orders/` are table `orders`.
    fn list(&self, folder: &str) -> BoxFuture<'static, Result<Vec<(String, TableDefinition)>>>;
}
