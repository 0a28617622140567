//! What a view is defined by, and who can open a table.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use futures::future::BoxFuture;

use crate::error::Result;
use crate::storage::TableDefinition;

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
