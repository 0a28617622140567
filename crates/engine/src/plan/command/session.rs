//! Commands about the session's settings and prepared statements, and `KILL`.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{DataType as SqlType, Statement};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Command, CommandScope};
use crate::error::Result;
use crate::plan::{Effect, StatementKind};
use crate::query::QueryId;
use crate::run::Execution;
use crate::session::Prepared;

type Answer<'a> = BoxFuture<'a, Result<Vec<RecordBatch>>>;

/// `SET name = value`; no value means `DEFAULT`.
#[derive(Debug)]
pub(in crate::plan) struct Set(pub(in crate::plan) Vec<(String, Option<String>)>);

impl Command for Set {
    fn kind(&self) -> StatementKind {
        StatementKind::Utility
    }

    fn effect(&self) -> Effect {
        Effect::Session
    }

    fn run<'a>(self: Box<Self>, scope: CommandScope, _execution: &'a Execution) -> Answer<'a> {
        let outcome = scope.session.change(self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
        std::future::ready(outcome.map(|()| Vec::new())).boxed()
    }
}

/// `RESET name`, or all.
#[derive(Debug)]
pub(in crate::plan) struct Reset(pub(in crate::plan) Option<String>);

impl Command for Reset {
    fn kind(&self) -> StatementKind {
        StatementKind::Utility
    }

    fn effect(&self) -> Effect {
        Effect::Session
    }

    fn run<'a>(self: Box<Self>, scope: CommandScope, _execution: &'a Execution) -> Answer<'a> {
        let outcome = scope.session.change_settings(|settings| match &self.0 {
            Some(name) => settings.reset(name),
            None => settings.reset_all(),
        });
        std::future::ready(outcome.map(|()| Vec::new())).boxed()
    }
}

/// `SHOW name`, or all.
#[derive(Debug)]
pub(in crate::plan) struct Show(pub(in crate::plan) Option<String>);

impl Show {
    fn answer(&self, scope: &CommandScope) -> Result<Vec<RecordBatch>> {
        let Some(name) = &self.0 else {
            let list = scope.shown.list();
            let column = |pick: fn(&crate::session::SettingInfo) -> &str| {
                Arc::new(StringArray::from_iter_values(list.iter().map(pick))) as _
            };
            let columns = vec![
                column(|info| &info.name),
                column(|info| &info.value),
                column(|info| &info.default),
                column(|info| &info.kind),
                column(|info| &info.description),
            ];
            return Ok(vec![RecordBatch::try_new(self.schema(), columns)?]);
        };
        let value = scope.shown.get(name)?;
        let column = Arc::new(StringArray::from(vec![value]));
        Ok(vec![RecordBatch::try_new(self.schema(), vec![column])?])
    }
}

impl Command for Show {
    fn kind(&self) -> StatementKind {
        StatementKind::Query
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }

    fn schema(&self) -> SchemaRef {
        let names = match &self.0 {
            Some(name) => vec![name.as_str()],
            None => vec!["name", "value", "default", "type", "description"],
        };
        let fields = names.into_iter().map(|name| Field::new(name, DataType::Utf8, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn run<'a>(self: Box<Self>, scope: CommandScope, _execution: &'a Execution) -> Answer<'a> {
        std::future::ready(self.answer(&scope)).boxed()
    }
}

/// `PREPARE name AS statement`.
#[derive(Debug)]
pub(in crate::plan) struct Prepare {
    pub(in crate::plan) name: String,
    pub(in crate::plan) data_types: Vec<SqlType>,
    pub(in crate::plan) statement: Box<Statement>,
}

impl Command for Prepare {
    fn kind(&self) -> StatementKind {
        StatementKind::Utility
    }

    fn effect(&self) -> Effect {
        Effect::Session
    }

    fn run<'a>(self: Box<Self>, scope: CommandScope, _execution: &'a Execution) -> Answer<'a> {
        let Self { name, data_types, statement } = *self;
        async move {
            let prepared = Prepared { statement, data_types };
            // Mistakes are told now rather than at the first EXECUTE.
            crate::plan::check_prepared(&scope.session, &prepared).await?;
            scope.session.prepare(name, prepared)?;
            Ok(Vec::new())
        }
        .boxed()
    }
}

/// `DEALLOCATE name`, or all.
#[derive(Debug)]
pub(in crate::plan) struct Deallocate(pub(in crate::plan) Option<String>);

impl Command for Deallocate {
    fn kind(&self) -> StatementKind {
        StatementKind::Utility
    }

    fn effect(&self) -> Effect {
        Effect::Session
    }

    fn run<'a>(self: Box<Self>, scope: CommandScope, _execution: &'a Execution) -> Answer<'a> {
        let outcome = scope.session.deallocate(self.0.as_deref());
        std::future::ready(outcome.map(|()| Vec::new())).boxed()
    }
}

/// `KILL QUERY 'id'`: answers with the state the query was in.
#[derive(Debug)]
pub(in crate::plan) struct Kill(pub(in crate::plan) QueryId);

impl Command for Kill {
    fn kind(&self) -> StatementKind {
        StatementKind::Utility
    }

    fn effect(&self) -> Effect {
        Effect::Control
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true), Field::new("state", DataType::Utf8, true)]))
    }

    fn run<'a>(self: Box<Self>, scope: CommandScope, _execution: &'a Execution) -> Answer<'a> {
        async move {
            let principal = scope.session.principal();
            let reason = format!("killed by {}", principal.name());
            let state = scope.session.engine().queries().cancel(principal, self.0, &reason).await?;
            let id = Arc::new(StringArray::from(vec![self.0.to_string()]));
            let state = Arc::new(StringArray::from(vec![state.name()]));
            Ok(vec![RecordBatch::try_new(self.schema(), vec![id, state])?])
        }
        .boxed()
    }
}
