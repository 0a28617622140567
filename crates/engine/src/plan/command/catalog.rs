//! Commands that change the catalog without running a plan: schemas, views, external tables, drops.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ResolvedTableReference;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Command, CommandScope};
use crate::catalog::{Dropped, IfExists, NewTable};
use crate::error::Result;
use crate::plan::{Effect, StatementKind};
use crate::run::Execution;
use crate::session::TemporaryView;

/// One change of the catalog.
#[derive(Debug)]
pub(in crate::plan) enum Change {
    CreateCatalog { name: String, keep: bool },
    CreateSchema { catalog: String, name: String, keep: bool },
    DropSchema { catalog: String, name: String, if_exists: bool, cascade: bool },
    CreateTable { name: ResolvedTableReference, table: NewTable, if_exists: IfExists },
    Drop { name: ResolvedTableReference, dropped: Dropped, if_exists: bool },
    CreateTemporaryView { name: String, view: TemporaryView, replace: bool },
}

impl Command for Change {
    fn kind(&self) -> StatementKind {
        StatementKind::Ddl
    }

    fn effect(&self) -> Effect {
        match self {
            Self::CreateTemporaryView { .. } => Effect::Session,
            _ => Effect::Write,
        }
    }

    fn run<'a>(
        self: Box<Self>,
        scope: CommandScope,
        _execution: &'a Execution,
    ) -> BoxFuture<'a, Result<Vec<RecordBatch>>> {
        async move {
            self.apply(&scope).await?;
            Ok(Vec::new())
        }
        .boxed()
    }
}

impl Change {
    async fn apply(self, scope: &CommandScope) -> Result<()> {
        let catalogs = scope.session.engine().catalogs();
        match self {
            Self::CreateCatalog { name, keep } => {
                catalogs.create_catalog(&name, keep).await?;
            }
            Self::CreateSchema { catalog, name, keep } => {
                catalogs.create_schema(&catalog, &name, keep).await?;
            }
            Self::DropSchema { catalog, name, if_exists, cascade } => {
                catalogs.drop_schema(&catalog, &name, if_exists, cascade).await?;
            }
            Self::CreateTable { name, table, if_exists } => {
                catalogs.create_table(&name, table, if_exists).await?;
            }
            Self::Drop { name, dropped: Dropped::View, .. } if scope.session.drop_temporary_view(&name) => {}
            Self::Drop { name, dropped, if_exists } => {
                catalogs.drop_table(&name, dropped, if_exists).await?;
            }
            Self::CreateTemporaryView { name, view, replace } => {
                scope.session.create_temporary_view(name, view, replace)?;
            }
        }
        Ok(())
    }
}

/// `SHOW CREATE TABLE`: the statement that would make the table again.
#[derive(Debug)]
pub(in crate::plan) struct ShowCreate(pub(in crate::plan) ResolvedTableReference);

impl Command for ShowCreate {
    fn kind(&self) -> StatementKind {
        StatementKind::Query
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn schema(&self) -> SchemaRef {
        let names = ["table_catalog", "table_schema", "table_name", "statement"];
        Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).to_vec()))
    }

    fn run<'a>(
        self: Box<Self>,
        scope: CommandScope,
        _execution: &'a Execution,
    ) -> BoxFuture<'a, Result<Vec<RecordBatch>>> {
        async move {
            let statement = scope.session.engine().catalogs().statement(&self.0).await?;
            let name = &self.0;
            let cells = [name.catalog.as_ref(), name.schema.as_ref(), name.table.as_ref(), statement.as_str()];
            let columns = cells.map(|cell| Arc::new(StringArray::from(vec![cell])) as _).to_vec();
            Ok(vec![RecordBatch::try_new(self.schema(), columns)?])
        }
        .boxed()
    }
}
