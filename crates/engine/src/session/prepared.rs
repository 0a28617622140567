//! What a session keeps by name: prepared statements and temporary views.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{DataType, Statement};

use crate::catalog::ViewDefinition;

/// A statement under a name. It is planned at each `EXECUTE`, so that it never runs against tables that are gone.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) statement: Box<Statement>,
    pub(crate) data_types: Vec<DataType>,
}

/// A view of one session.
#[derive(Debug, Clone)]
pub(crate) struct TemporaryView {
    pub(crate) definition: ViewDefinition,
    /// As planned at its creation: enough for listings.
    pub(crate) table: Arc<dyn TableProvider>,
}

impl TemporaryView {
    pub(crate) fn new(definition: ViewDefinition, plan: LogicalPlan) -> Self {
        let table = Arc::new(ViewTable::new(plan, Some(definition.sql.clone())));
        Self { definition, table }
    }
}
