//! `CREATE TABLE [AS]`: an in-memory table, filled by a query.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::ResolvedTableReference;
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Command, CommandScope};
use crate::catalog::{IfExists, MemoryTable, NewTable};
use crate::error::Result;
use crate::plan::{Effect, StatementKind};
use crate::run::Execution;

/// `CREATE TABLE name AS query`, or with columns only, which is a query without rows.
#[derive(Debug)]
pub(in crate::plan) struct CreateTable {
    pub(in crate::plan) name: ResolvedTableReference,
    pub(in crate::plan) if_exists: IfExists,
    pub(in crate::plan) schema: SchemaRef,
    pub(in crate::plan) input: Arc<dyn ExecutionPlan>,
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
            let table = Arc::new(MemoryTable::new(self.name.to_string(), self.schema, engine.table_pool()));
            table.append(execution.start(&self.input)?).await?;
            catalogs.create_table(&self.name, NewTable::Memory(table), self.if_exists).await?;
            Ok(Vec::new())
        }
        .boxed()
    }
}
