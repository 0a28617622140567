//! `WriteRel`: a plan whose rows go into a table.

use std::sync::Arc;

use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::{Column, TableReference};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::scalar::ScalarValue;
use datafusion_substrait::substrait::proto::Plan;
use datafusion_substrait::substrait::proto::plan_rel::RelType as Root;
use datafusion_substrait::substrait::proto::rel::RelType;
use datafusion_substrait::substrait::proto::write_rel::{WriteOp, WriteType};

use super::survey::reference;
use super::{malformed, root, unsupported};
use crate::catalog::SessionCatalogs;
use crate::catalog::memory::{Inserted, rewrite_dml};
use crate::error::{Error, Result, Subject};
use crate::plan::suggest::closest;

/// Where the rows of a plan go.
#[derive(Debug)]
pub(super) struct Insert {
    table: TableReference,
    /// The table's columns that the plan has, in its order.
    columns: Vec<String>,
}

/// Takes the insert off the root of a plan, which then computes the rows; none if it only reads.
pub(super) fn split(plan: &mut Plan) -> Result<Option<Insert>> {
    let relation = root(plan)?;
    let Some(RelType::Write(write)) = relation.rel_type.as_mut() else { return Ok(None) };
    if write.op() != WriteOp::Insert {
        return Err(unsupported(format!("a WriteRel with {}", write.op().as_str_name()))
            .hint("a plan can insert into a table; use SQL to create, update and delete"));
    }
    let table = match write.write_type.as_ref() {
        Some(WriteType::NamedTable(table)) => reference(&table.names)?,
        Some(WriteType::ExtensionTable(_)) => return Err(unsupported("a WriteRel into an ExtensionTable")),
        None => return Err(malformed("a WriteRel names no table")),
    };
    let schema = write.table_schema.take().ok_or_else(|| malformed("a WriteRel has no table_schema"))?;
    if schema.r#struct.as_ref().is_some_and(|columns| columns.types.len() != schema.names.len()) {
        return Err(unsupported("a WriteRel of columns with fields of their own"));
    }
    let input = write.input.take().ok_or_else(|| malformed("a WriteRel has no input"))?;
    *relation = *input;
    // They are the names of what is written, which the table has already.
    if let Some(Root::Root(root)) = plan.relations.first_mut().and_then(|relation| relation.rel_type.as_mut()) {
        root.names.clear();
    }
    Ok(Some(Insert { table, columns: schema.names }))
}

impl Insert {
    pub(super) fn table(&self) -> &TableReference {
        &self.table
    }

    /// The plan that inserts the rows, each cast to the type of its column; other columns get their defaults.
    pub(super) async fn plan(
        self,
        state: &SessionState,
        catalogs: &SessionCatalogs,
        rows: LogicalPlan,
    ) -> Result<LogicalPlan> {
        let name = catalogs.resolve(self.table.clone());
        let table = catalogs.table(&name).await?;
        let table = table.ok_or_else(|| Error::not_found(Subject::Table, format!("table '{name}' not found")))?;
        let (schema, given) = (table.schema(), rows.schema().fields().len());
        if given != self.columns.len() {
            let named = self.columns.len();
            return Err(malformed(format!("a WriteRel names {named} columns, but its input has {given}")));
        }
        for (at, column) in self.columns.iter().enumerate() {
            if schema.index_of(column).is_err() {
                let known = schema.fields().iter().map(|field| field.name().as_str());
                return Err(Error::not_found(
                    Subject::Column,
                    format!("column '{column}' not found in table '{name}'"),
                )
                .suggest(closest(column, known)));
            }
            if self.columns[..at].contains(column) {
                return Err(malformed(format!("a WriteRel names the column '{column}' twice")));
            }
        }
        let mut values = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let value = match self.columns.iter().position(|column| column == field.name()) {
                Some(at) => Expr::Column(Column::from(rows.schema().qualified_field(at))),
                // Until the plan is rewritten.
                None => lit(ScalarValue::Null),
            };
            values.push(value.cast_to(field.data_type(), rows.schema())?.alias(field.name()));
        }
        let rows = LogicalPlanBuilder::from(rows).project(values)?.build()?;
        let target = provider_as_source(Arc::clone(&table));
        let plan = LogicalPlanBuilder::insert_into(rows, self.table, target, InsertOp::Append)?.build()?;
        rewrite_dml(state, plan, &Inserted { columns: self.columns, conflict: None })
    }
}
