//! `ALTER TABLE`, for tables in memory.

use arrow::array::RecordBatch;
use arrow::datatypes::Field;
use datafusion::common::ResolvedTableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, DropBehavior, RenameTableNameKind,
};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::declared::{Declared, constraint_of};
use super::{Command, CommandScope};
use crate::catalog::memory::{Alteration, alter};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::classify::normal;
use crate::plan::logical::resolve;
use crate::plan::parse::{Parsed, parse};
use crate::plan::show::Place;
use crate::plan::{Effect, StatementKind};
use crate::run::Execution;

/// One `ALTER TABLE` with all its parts, which happen together.
#[derive(Debug)]
struct Alter {
    name: ResolvedTableReference,
    to: ResolvedTableReference,
    if_exists: bool,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// Its type is known when its declaration is planned.
    AddColumn {
        column: ColumnDef,
        if_not_exists: bool,
    },
    Alter(Box<Alteration>),
}

/// The command of an `ALTER TABLE`.
pub(in crate::plan) fn command(table: AlterTable, place: Place<'_>) -> Result<Box<dyn Command>> {
    if table.location.is_some() || table.on_cluster.is_some() || table.table_type.is_some() {
        return Err(Error::unsupported("this form of ALTER TABLE is not supported"));
    }
    let name = resolve(&table.name, place)?;
    let mut alter = Alter { to: name.clone(), name, if_exists: table.if_exists, steps: Vec::new() };
    for operation in table.operations {
        alter.note(operation)?;
    }
    Ok(Box::new(alter))
}

impl Alter {
    fn note(&mut self, operation: AlterTableOperation) -> Result<()> {
        let alteration = match operation {
            AlterTableOperation::AddColumn { column_def, if_not_exists, column_position: None, .. } => {
                self.steps.push(Step::AddColumn { column: column_def, if_not_exists });
                return Ok(());
            }
            AlterTableOperation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
                refuse_cascade(drop_behavior)?;
                let drop = |column| Step::Alter(Box::new(Alteration::DropColumn { column: normal(column), if_exists }));
                self.steps.extend(column_names.iter().map(drop));
                return Ok(());
            }
            AlterTableOperation::RenameTable { table_name: RenameTableNameKind::To(to) } => {
                let [name] = to.0.as_slice() else {
                    return Err(Error::invalid(format!("'{to}' is not a bare name: a table stays in its schema"))
                        .hint("use CREATE TABLE ... AS SELECT to copy it to another schema"));
                };
                self.to.table = name.as_ident().map(normal).unwrap_or_default().into();
                return Ok(());
            }
            AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                Alteration::RenameColumn { from: normal(&old_column_name), to: normal(&new_column_name) }
            }
            AlterTableOperation::AlterColumn { column_name, op } => column_change(normal(&column_name), op)?,
            AlterTableOperation::AddConstraint { constraint, not_valid: false } => {
                Alteration::AddConstraint(constraint_of(constraint)?)
            }
            AlterTableOperation::DropConstraint { if_exists, name, drop_behavior } => {
                refuse_cascade(drop_behavior)?;
                Alteration::DropConstraint { name: normal(&name), if_exists }
            }
            other => return Err(unsupported(&other.to_string())),
        };
        self.steps.push(Step::Alter(Box::new(alteration)));
        Ok(())
    }
}

fn column_change(column: String, change: AlterColumnOperation) -> Result<Alteration> {
    Ok(match change {
        AlterColumnOperation::SetNotNull => Alteration::SetRequired { column, required: true },
        AlterColumnOperation::DropNotNull => Alteration::SetRequired { column, required: false },
        AlterColumnOperation::SetDefault { value } => Alteration::SetDefault { column, default: Some(value) },
        AlterColumnOperation::DropDefault => Alteration::SetDefault { column, default: None },
        other => return Err(unsupported(&format!("ALTER COLUMN {column} {other}"))),
    })
}

fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("ALTER TABLE ... {what} is not supported")).hint(
        "supported are ADD, DROP and RENAME COLUMN, ADD and DROP CONSTRAINT, ALTER COLUMN SET and DROP of DEFAULT and NOT NULL, \
         and RENAME TO; for the rest use CREATE OR REPLACE TABLE ... AS SELECT",
    )
}

fn refuse_cascade(behavior: Option<DropBehavior>) -> Result<()> {
    if behavior == Some(DropBehavior::Cascade) {
        return Err(Error::unsupported("ALTER TABLE ... DROP ... CASCADE is not supported")
            .hint("leave CASCADE out, and drop the views that need the column"));
    }
    Ok(())
}

/// The changes that add a column.
async fn added(state: &SessionState, mut column: ColumnDef, if_not_exists: bool) -> Result<Vec<Alteration>> {
    let mut declared = Declared::default();
    declared.take_column(&mut column)?;
    let required = !declared.required.is_empty();
    let field = declared_field(state, &column).await?.with_nullable(!required);
    let default = declared.defaults.pop().map(|(_, default)| default);
    let mut alterations = vec![Alteration::AddColumn { field, default, if_not_exists }];
    alterations.extend(declared.constraints.into_iter().map(Alteration::AddConstraint));
    Ok(alterations)
}

/// The column as DataFusion plans it.
async fn declared_field(state: &SessionState, column: &ColumnDef) -> Result<Field> {
    let lost = || Error::internal("the declaration of a column was lost");
    let Parsed::Sql(statement) = parse(&format!("CREATE TABLE t ({column})"))? else { return Err(lost()) };
    let plan = state.statement_to_plan(*statement).await?;
    let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(table)) = plan else { return Err(lost()) };
    table.input.schema().fields().first().map(|field| field.as_ref().clone()).ok_or_else(lost)
}

impl Command for Alter {
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
        _execution: &'a Execution,
    ) -> BoxFuture<'a, Result<Vec<RecordBatch>>> {
        async move {
            let engine = scope.session.engine();
            let table = match engine.catalogs().memory_table(&self.name).await {
                Ok(table) => table,
                Err(error) if self.if_exists && error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let state = engine.planning_state(scope.shown.resolved(), scope.session.principal())?;
            let mut alterations = Vec::with_capacity(self.steps.len());
            for step in self.steps {
                match step {
                    Step::Alter(alteration) => alterations.push(*alteration),
                    Step::AddColumn { column, if_not_exists } => {
                        alterations.extend(added(&state, column, if_not_exists).await?);
                    }
                }
            }
            alter(engine.catalogs(), &state, &table, (&self.name, &self.to), alterations).await?;
            Ok(Vec::new())
        }
        .boxed()
    }
}
