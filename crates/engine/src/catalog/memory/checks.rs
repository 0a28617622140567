//! Expressions that belong to a table: the defaults of its columns, and its checks.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ExprWithAlias};

use super::contents::under;
use super::shape::{Check, Shape};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::plan::analyze;

/// A `CHECK` constraint that can be evaluated.
#[derive(Debug, Clone)]
pub(crate) struct RowCheck {
    name: String,
    text: String,
    expr: Arc<dyn PhysicalExpr>,
}

impl RowCheck {
    /// The check for rows of this schema.
    ///
    /// # Errors
    /// `NotFound` for unknown columns, `Invalid` if it is no condition on one row.
    pub(crate) fn new(state: &SessionState, check: &Check, schema: &SchemaRef) -> Result<Self> {
        let columns = DFSchema::try_from(Arc::clone(schema))?;
        let expr = logical(state, &check.expr, &columns)?;
        refuse_unless_of_row(&expr, &format!("check constraint '{}'", check.name))?;
        let expr = physical(state, expr, &columns)?;
        if expr.data_type(schema)? != DataType::Boolean {
            let message = format!("check constraint '{}' is not true or false: {}", check.name, check.expr);
            return Err(Error::invalid(message));
        }
        Ok(Self { name: check.name.clone(), text: check.expr.to_string(), expr })
    }

    /// All checks of a table.
    pub(crate) fn all(state: &SessionState, shape: &Shape) -> Result<Vec<Self>> {
        shape.checks.iter().map(|check| Self::new(state, check, &shape.schema)).collect()
    }

    /// An error if the check is false for a row. Unknown is not false.
    pub(super) fn test(&self, table: &str, rows: &RecordBatch) -> Result<()> {
        let outcome = self.expr.evaluate(rows)?.into_array(rows.num_rows())?;
        let outcome = outcome.as_boolean();
        let failed = (0..outcome.len()).find(|row| outcome.is_valid(*row) && !outcome.value(*row));
        let Some(row) = failed else { return Ok(()) };
        let shown = shown(rows, &(0..rows.num_columns()).collect::<Vec<_>>(), row);
        let Self { name, text, .. } = self;
        let message = format!("row ({shown}) violates check constraint '{name}' of table '{table}': {text}");
        Err(Error::new(ErrorKind::Data, message).about(Subject::Check))
    }
}

/// Values of a row, as text.
pub(super) fn shown(rows: &RecordBatch, columns: &[usize], row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let value = |index: &usize| match ArrayFormatter::try_new(rows.column(*index), &options) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(_) => "...".to_owned(),
    };
    columns.iter().map(value).collect::<Vec<_>>().join(", ")
}

/// The default of a column in the type of the column, planned for one statement.
///
/// # Errors
/// `Invalid` if it is not an expression that stands alone.
pub(crate) fn default_value(state: &SessionState, default: &SqlExpr, data_type: &DataType) -> Result<Expr> {
    let expr = logical(state, default, &DFSchema::empty()).map_err(|error| {
        if error.kind() == ErrorKind::NotFound && error.subject() == Some(Subject::Column) {
            return Error::invalid(format!("DEFAULT {default} names a column: a default stands alone"));
        }
        error
    })?;
    refuse_unless_of_row(&expr, &format!("DEFAULT {default}"))?;
    Ok(cast(expr, data_type))
}

/// The default of a column for each of `rows` rows that are there already.
pub(super) fn default_values(
    state: &SessionState,
    default: &SqlExpr,
    data_type: &DataType,
) -> Result<Arc<dyn PhysicalExpr>> {
    physical(state, default_value(state, default, data_type)?, &DFSchema::empty())
}

/// Finds the mistakes in a default: whether it has a value that the column can hold.
pub(crate) fn try_default(state: &SessionState, default: &SqlExpr, data_type: &DataType) -> Result<()> {
    let expr = default_values(state, default, data_type)?;
    let row = under(Arc::new(arrow::datatypes::Schema::empty()), Vec::new(), 1)?;
    expr.evaluate(&row)?;
    Ok(())
}

/// The expression in this type.
pub(super) fn cast(expr: Expr, data_type: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), data_type.clone()))
}

fn logical(state: &SessionState, expr: &SqlExpr, columns: &DFSchema) -> Result<Expr> {
    let expr = ExprWithAlias { expr: expr.clone(), alias: None };
    Ok(state.create_logical_expr_from_sql_expr(expr, columns)?)
}

/// The expression as it would run in a plan.
fn physical(state: &SessionState, expr: Expr, columns: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let rows = EmptyRelation { produce_one_row: false, schema: Arc::new(columns.clone()) };
    let plan = LogicalPlanBuilder::from(LogicalPlan::EmptyRelation(rows)).project([expr])?.build()?;
    // Makes `now()` the time of the statement, too.
    match analyze(state, plan)?.expressions().pop() {
        Some(expr) => Ok(state.create_physical_expr(expr.unalias(), columns)?),
        None => Err(Error::internal("an expression was lost in the analyzer")),
    }
}

/// Defaults and checks know one row and nothing else.
fn refuse_unless_of_row(expr: &Expr, what: &str) -> Result<()> {
    let mut refused = None;
    expr.apply(|expr| {
        refused = match expr {
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => {
                Some("a subquery")
            }
            Expr::AggregateFunction(_) => Some("an aggregate function"),
            Expr::WindowFunction(_) => Some("a window function"),
            Expr::Placeholder(_) => Some("a parameter"),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok(TreeNodeRecursion::Stop)
    })
    .map_err(|error: DataFusionError| Error::from(error))?;
    match refused {
        Some(refused) => Err(Error::invalid(format!("{what} can not use {refused}"))),
        None => Ok(()),
    }
}
