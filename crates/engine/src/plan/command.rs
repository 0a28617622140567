//! Statements that are no plans: they change the session, the catalog or another query.

pub(super) mod alter;
pub(super) mod catalog;
pub(super) mod create;
pub(super) mod declared;
pub(super) mod session;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Fields, Schema, SchemaRef};
use datafusion::common::{SchemaReference, TableReference};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{CreateExternalTable, DdlStatement};
use futures::future::BoxFuture;

use self::catalog::Change;
use super::{Effect, StatementKind};
use crate::catalog::{Dropped, IfExists, NewTable};
use crate::error::{Error, Result};
use crate::run::Execution;
use crate::session::{Session, Settings, Statement};
use crate::storage::TableDefinition;

/// A statement that is no plan.
pub(crate) trait Command: Debug + Send {
    /// What sort of statement it is.
    fn kind(&self) -> StatementKind;

    /// What is different afterwards.
    fn effect(&self) -> Effect;

    /// The schema of the answer; most have none.
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::empty())
    }

    /// Whether it does work that has to wait for a permit.
    fn needs_permit(&self) -> bool {
        false
    }

    /// Does it.
    fn run<'a>(
        self: Box<Self>,
        scope: CommandScope,
        execution: &'a Execution,
    ) -> BoxFuture<'a, Result<Vec<RecordBatch>>>;
}

/// Where a command acts.
#[derive(Debug, Clone)]
pub(crate) struct CommandScope {
    pub(crate) session: Arc<Session>,
    /// The settings that hold for the statement.
    pub(crate) shown: Arc<Settings>,
}

/// The command for what DataFusion planned as a change of the catalog.
pub(super) async fn ddl(statement: &Statement, state: &SessionState, ddl: DdlStatement) -> Result<Box<dyn Command>> {
    let settings = &statement.settings;
    let resolve = |name: TableReference| name.resolve(&settings.catalog, &settings.schema);
    let change = match ddl {
        DdlStatement::CreateMemoryTable(table) => {
            return Ok(Box::new(create::CreateTable::new(statement, state, table).await?));
        }
        DdlStatement::CreateExternalTable(table) => {
            let name = resolve(table.name.clone());
            let if_exists = if_exists(table.if_not_exists, table.or_replace)?;
            Change::CreateTable { name, table: NewTable::External(definition(*table)?), if_exists }
        }
        DdlStatement::CreateCatalogSchema(schema) => {
            let (catalog, name) = schema_name(&schema.schema_name, &settings.catalog)?;
            Change::CreateSchema { catalog, name, keep: schema.if_not_exists }
        }
        DdlStatement::CreateCatalog(catalog) => {
            Change::CreateCatalog { name: catalog.catalog_name, keep: catalog.if_not_exists }
        }
        DdlStatement::DropTable(table) => {
            Change::Drop { name: resolve(table.name), dropped: Dropped::Table, if_exists: table.if_exists }
        }
        DdlStatement::DropView(view) => {
            Change::Drop { name: resolve(view.name), dropped: Dropped::View, if_exists: view.if_exists }
        }
        DdlStatement::DropCatalogSchema(schema) => {
            let (catalog, name) = match schema.name {
                SchemaReference::Bare { schema } => (settings.catalog.clone(), schema.to_string()),
                SchemaReference::Full { catalog, schema } => (catalog.to_string(), schema.to_string()),
            };
            Change::DropSchema { catalog, name, if_exists: schema.if_exists, cascade: schema.cascade }
        }
        other => return Err(Error::unsupported(format!("{} is not supported", other.name()))),
    };
    Ok(Box::new(change))
}

pub(super) fn if_exists(keep: bool, replace: bool) -> Result<IfExists> {
    match (keep, replace) {
        (true, true) => {
            Err(Error::invalid("CREATE OR REPLACE and IF NOT EXISTS contradict each other").hint("use one of both"))
        }
        (true, false) => Ok(IfExists::Keep),
        (false, true) => Ok(IfExists::Replace),
        (false, false) => Ok(IfExists::Fail),
    }
}

/// The columns of a new table. That a query can not give nulls does not mean that the table may not hold them: what is
/// required is declared.
fn table_schema(schema: &Schema) -> SchemaRef {
    let field = |field: &FieldRef| Arc::new(field.as_ref().clone().with_metadata(HashMap::new()).with_nullable(true));
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Fields>()))
}

fn schema_name(name: &str, default_catalog: &str) -> Result<(String, String)> {
    match TableReference::parse_str(name) {
        TableReference::Bare { table } => Ok((default_catalog.to_owned(), table.to_string())),
        TableReference::Partial { schema, table } => Ok((schema.to_string(), table.to_string())),
        TableReference::Full { .. } => {
            Err(Error::invalid(format!("'{name}' is not the name of a schema: expected [catalog.]schema")))
        }
    }
}

fn definition(table: CreateExternalTable) -> Result<TableDefinition> {
    if table.unbounded || !table.order_exprs.is_empty() || !table.constraints.is_empty() || table.temporary {
        return Err(Error::unsupported(
            "CREATE EXTERNAL TABLE with UNBOUNDED, WITH ORDER, TEMPORARY or constraints is not supported",
        ));
    }
    let columns = table.schema.as_arrow();
    Ok(TableDefinition {
        locations: table.locations,
        format: (!table.file_type.is_empty()).then(|| table.file_type.to_lowercase()),
        partitioned_by: table.table_partition_cols,
        schema: (!columns.fields().is_empty()).then(|| Arc::new(columns.clone())),
        by_operator: false,
        // DataFusion's planner puts the prefix there.
        options: table
            .options
            .into_iter()
            .map(|(key, value)| (key.trim_start_matches("format.").to_owned(), value))
            .collect(),
    })
}
