//! Where DataFusion answers otherwise than SQL: rules that make the answer right, or refuse the statement.
//!
//! The rules of the analyzer run after its own, so operands have one type already.

mod arithmetic;
mod multisets;
mod outer_using;
mod series;
mod sum;
mod zeros;

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

pub(super) use arithmetic::{Constants, functions};
pub(super) use outer_using::merge_keys;
pub(super) use series::table_functions;
pub(super) use sum::function as exact_sum;

/// The rules, in the order in which they run.
pub(super) fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    vec![Arc::new(multisets::Multisets), Arc::new(Expressions)]
}

/// Checked arithmetic, and zeros that are equal in lists too.
#[derive(Debug)]
struct Expressions;

impl AnalyzerRule for Expressions {
    fn name(&self) -> &'static str {
        "sql_expressions"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite_node).data()
    }
}

fn rewrite_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = columns_in_reach(&plan)?;
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| {
            let checked = arithmetic::checked(expr, &schema)?;
            checked.transform_data(|expr| zeros::both(expr, &schema))
        })?;
        Ok(rewritten.update_data(|expr: Expr| name.restore(expr)))
    })
}

/// What the expressions of a node can name.
fn columns_in_reach(plan: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    Ok(schema)
}
