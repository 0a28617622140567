//! `CREATE TABLE [AS]`: an in-memory table, filled by a query.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ResolvedTableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{CreateMemoryTable, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::declared::Declared;
use super::{Command, CommandScope, if_exists, table_schema};
use crate::catalog::memory::{Replaced, RowCheck, Shape};
use crate::catalog::{IfExists, MemoryTable, NewTable, SessionCatalogs};
use crate::error::{Error, Result};
use crate::plan::{Effect, StatementKind};
use crate::run::Execution;
use crate::session::Statement;

/// `CREATE TABLE name AS query`, or with columns only, which is a query without rows.
#[derive(Debug)]
pub(in crate::plan) struct CreateTable {
    name: ResolvedTableReference,
    if_exists: IfExists,
    shape: Shape,
    checks: Vec<RowCheck>,
    /// The table in memory whose place it takes.
    replaced: Option<Replaced>,
    input: Arc<dyn ExecutionPlan>,
}

impl CreateTable {
    /// The command for what DataFusion planned, with what it did not keep.
    pub(in crate::plan) async fn new(
        statement: &Statement,
        state: &SessionState,
        table: CreateMemoryTable,
    ) -> Result<Self> {
        let declared = state.config().get_extension::<Declared>();
        let declared = declared.map(|declared| Declared::clone(&declared)).unwrap_or_default();
        if table.temporary {
            return Err(Error::unsupported(format!("TEMPORARY on in-memory table '{}' is not supported", table.name))
                .hint("use CREATE TABLE, or CREATE TEMPORARY VIEW"));
        }
        let if_exists = if_exists(table.if_not_exists, table.or_replace)?;
        let name = table.name.resolve(&statement.settings.catalog, &statement.settings.schema);
        let replaced = if if_exists == IfExists::Replace { replaced(state, &name).await } else { None };
        let input = replaced.as_ref().map(|replaced| replaced.query(&table.input)).transpose()?;
        let query = crate::plan::physical::physical(state, input.as_ref().unwrap_or(&table.input)).await?;
        let has_query = !matches!(*table.input, LogicalPlan::EmptyRelation(_));
        let schema = if has_query { query.logical.schema() } else { table.input.schema() };
        let shape = declared.shape(state, &name.table, table_schema(schema.as_arrow()))?;
        let checks = RowCheck::all(state, &shape)?;
        Ok(Self { name, if_exists, shape, checks, replaced, input: query.plan })
    }
}

/// The table in memory that has this name, as the statement sees the catalogs.
async fn replaced(state: &SessionState, name: &ResolvedTableReference) -> Option<Replaced> {
    let catalogs = state.catalog_list().downcast_ref::<SessionCatalogs>()?;
    // What can not be opened is not in memory.
    Replaced::of(&catalogs.table(name).await.ok()??)
}

impl Command for CreateTable {
    fn kind(&self) -> StatementKind {
        StatementKind::Ddl
    }

    fn effect(&self) -> Effect {
        Effect::Write
    }

    fn needs_permit(&self) -> bool {
        true
    }

    fn run<'a>(
        self: Box<Self>,
        scope: CommandScope,
        execution: &'a Execution,
    ) -> BoxFuture<'a, Result<Vec<RecordBatch>>> {
        async move {
            let engine = scope.session.engine();
            let catalogs = engine.catalogs();
            // A name that is taken is told before the work rather than after it; the creation itself decides again.
            if !catalogs.may_create(&self.name, self.if_exists).await? {
                return Ok(Vec::new());
            }
            let table = Arc::new(MemoryTable::new(self.name.to_string(), self.shape, engine.table_pool())?);
            table.append(execution.start(&self.input)?, &self.checks).await?;
            match self.replaced {
                Some(replaced) => replaced.with(catalogs, &self.name, table).await?,
                None => {
                    catalogs.create_table(&self.name, NewTable::Memory(table), self.if_exists).await?;
                }
            }
            Ok(Vec::new())
        }
        .boxed()
    }
}
