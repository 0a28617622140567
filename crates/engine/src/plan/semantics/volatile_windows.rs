//! What gives another value each time, in the arguments or the definition of a window function: evaluated once for each row,
//! before the rows are sorted and framed. DataFusion evaluates it again for each of these.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, Window};

/// A window that only reads what differs from time to time.
pub(super) fn evaluated(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Window(window) if window.window_expr.iter().any(Expr::is_volatile) => {
            Ok(Transformed::yes(evaluated_before(window)?))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn evaluated_before(window: Window) -> Result<LogicalPlan> {
    let shown: Vec<Expr> = window.schema.columns().into_iter().map(Expr::Column).collect();
    let mut columns: Vec<Expr> = window.input.schema().columns().into_iter().map(Expr::Column).collect();
    let before = columns.len();
    let names = NamePreserver::new_for_projection();
    let mut functions = Vec::with_capacity(window.window_expr.len());
    for function in window.window_expr {
        let name = names.save(&function);
        let rewritten = function.transform_down(|part| match part {
            Expr::WindowFunction(_) => {
                let part = part.map_children(|child| match child.is_volatile() {
                    true => {
                        let name = format!("__volatile_{}", columns.len() - before);
                        columns.push(child.alias(&name));
                        Ok(Transformed::yes(Expr::Column(Column::from_name(name))))
                    }
                    false => Ok(Transformed::no(child)),
                })?;
                Ok(Transformed::new(part.data, part.transformed, TreeNodeRecursion::Jump))
            }
            other => Ok(Transformed::no(other)),
        })?;
        functions.push(name.restore(rewritten.data));
    }
    let input = LogicalPlan::Projection(Projection::try_new(columns, window.input)?);
    let window = Window::try_new(functions, Arc::new(input))?;
    LogicalPlanBuilder::from(LogicalPlan::Window(window)).project(shown)?.build()
}
