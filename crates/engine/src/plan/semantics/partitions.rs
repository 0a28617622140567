//! `COPY ... PARTITIONED BY`: the values that choose the folders, as text that knows NULL. DataFusion writes the NULLs of a
//! text as '', and those of numbers as whatever lies in their place.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::storage::folder_value;

/// The statement with the columns that it partitions by as the names of folders.
pub(super) fn named(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Copy(mut copy) = plan else { return Ok(Transformed::no(plan)) };
    if copy.partition_by.is_empty() || is_named(&copy.input) {
        return Ok(Transformed::no(LogicalPlan::Copy(copy)));
    }
    if let Some(name) = copy.partition_by.iter().find(|name| name.contains('=')) {
        return Err(crate::Error::invalid(format!("a column that partitions files can not be named '{name}'"))
            .hint("give it a name without '='")
            .into());
    }
    refuse_all_columns(&copy)?;
    let columns = copy.input.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        if !copy.partition_by.contains(field.name()) {
            return column;
        }
        let value = Expr::ScalarFunction(ScalarFunction::new_udf(folder_value(), vec![column]));
        value.alias_qualified(qualifier.cloned(), field.name())
    });
    let input = LogicalPlanBuilder::from(copy.input.as_ref().clone()).project(columns.collect::<Vec<_>>())?.build()?;
    copy.input = Arc::new(input);
    Ok(Transformed::yes(LogicalPlan::Copy(copy)))
}

/// The files hold the other columns, so there must be one.
fn refuse_all_columns(copy: &CopyTo) -> Result<()> {
    let fields = copy.input.schema().fields();
    let kept = copy.options.get("execution.keep_partition_by_columns").is_some_and(|value| value.trim() == "true");
    if kept || fields.iter().any(|field| !copy.partition_by.contains(field.name())) {
        return Ok(());
    }
    Err(crate::Error::invalid(format!(
        "PARTITIONED BY ({}) names every column: at least one must remain for the files",
        copy.partition_by.join(", ")
    ))
    .hint("leave one out, or add a column to the query")
    .into())
}

/// Whether the columns are named already: rules run again on a plan that was kept.
fn is_named(input: &LogicalPlan) -> bool {
    let LogicalPlan::Projection(projection) = input else { return false };
    projection.expr.iter().any(|expr| {
        matches!(expr.clone().unalias(), Expr::ScalarFunction(call) if call.func.name() == folder_value().name())
    })
}
