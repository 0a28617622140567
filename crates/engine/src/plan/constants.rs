//! The arguments of `EXECUTE`: constant expressions, evaluated before the statement is planned.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{CastKind, Expr};

use super::logical::analyze;
use crate::error::{Error, Result, Subject};
use crate::request::Parameters;
use crate::session::{Prepared, Statement};

/// The values of the arguments, in the types that `PREPARE` declared.
pub(super) fn constants(statement: &Statement, arguments: Vec<Expr>, prepared: &Prepared) -> Result<Parameters> {
    let declared = prepared.data_types.len();
    if declared > 0 && declared != arguments.len() {
        let given = arguments.len();
        return Err(Error::invalid(format!(
            "the prepared statement takes {declared} values, but EXECUTE gives {given}"
        ))
        .about(Subject::Parameter));
    }
    if arguments.is_empty() {
        return Ok(Parameters::None);
    }
    let state = statement.session.engine().planning_state(&statement.settings, statement.session.principal())?;
    let empty = DFSchema::empty();
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Schema::empty().into(), Vec::new(), &one_row)?;
    let mut values = Vec::with_capacity(arguments.len());
    for (index, argument) in arguments.into_iter().enumerate() {
        let argument = match prepared.data_types.get(index) {
            Some(data_type) => Expr::Cast {
                kind: CastKind::Cast,
                expr: Box::new(argument),
                data_type: data_type.clone(),
                array: false,
                format: None,
            },
            None => argument,
        };
        let expr = state.create_logical_expr_from_sql_expr(
            datafusion::sql::sqlparser::ast::ExprWithAlias { expr: argument, alias: None },
            &empty,
        )?;
        let value = state.create_physical_expr(analyzed(&state, expr)?, &empty)?.evaluate(&row)?;
        let array = value.into_array(1)?;
        values.push(datafusion::scalar::ScalarValue::try_from_array(&array, 0)?);
    }
    Ok(Parameters::Positional(values))
}

/// The expression as it would stand in a plan.
fn analyzed(state: &SessionState, expr: LogicalExpr) -> Result<LogicalExpr> {
    let plan = LogicalPlanBuilder::empty(true).project([expr])?.build()?;
    match analyze(state, plan)?.expressions().pop() {
        Some(expr) => Ok(expr.unalias()),
        None => Err(Error::internal("an expression was lost in the analyzer")),
    }
}
