//! Where DataFusion answers otherwise than SQL: rules that make the answer right, or refuse the statement.
//!
//! The rules of the analyzer run after its own, so operands have one type already.

mod arithmetic;
mod bounded;
mod clauses;
mod concatenation;
mod correlation;
mod digits;
mod duplicates;
mod existence;
mod fetch;
mod interval_texts;
mod intervals;
mod lateral;
mod membership;
mod moments;
mod multisets;
mod named_windows;
mod nothing_found;
mod null_members;
mod order_all;
mod partitions;
mod patterns;
mod positions;
mod rounded;
mod sampling;
mod scaled;
mod series;
mod sum;
mod templates;
mod using;
mod volatile_windows;
mod zeros;

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, Expr, LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

pub(super) use arithmetic::Constants;
pub(super) use bounded::functions as bounded_functions;
pub(super) use clauses::say_clauses;
pub(super) use digits::{Decimals, write_digits};
pub(super) use duplicates::name_duplicates;
pub(super) use existence::optimizer_rules;
pub(super) use fetch::limit_fetched;
pub(super) use interval_texts::write_intervals;
pub(super) use lateral::{Unnesting, unnest_laterally};
pub(super) use named_windows::open_windows;
pub(super) use scaled::Intervals;
pub(super) use series::table_functions;
pub(super) use sum::function as exact_sum;
pub(super) use using::{Merging, merge_keys, settled};

/// The rules, in the order in which they run.
pub(super) fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let rule = |name, node| Arc::new(Rule { name, node }) as Arc<dyn AnalyzerRule + Send + Sync>;
    vec![
        rule("sql_multisets", multisets::counted),
        rule("sql_places", existence::placed),
        rule("sql_correlations", correlation::checked),
        rule("sql_memberships", membership::answered),
        rule("sql_volatile_windows", volatile_windows::evaluated),
        rule("sql_expressions", decided),
        rule("sql_partitions", partitions::named),
    ]
}

/// A rule that looks at the nodes of a plan one by one, those of subqueries too, inputs before what reads them.
#[derive(Debug)]
struct Rule {
    name: &'static str,
    node: fn(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
}

impl AnalyzerRule for Rule {
    fn name(&self) -> &str {
        self.name
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(self.node).data()
    }
}

/// The functions that the rules put into plans, for the state that plans are made and read with.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let [add, subtract, multiply] = arithmetic::functions();
    let [scaled_up, scaled_down] = scaled::functions();
    vec![
        add,
        subtract,
        multiply,
        concatenation::function(),
        intervals::function(),
        moments::function(),
        nothing_found::function(),
        rounded::function(),
        scaled_up,
        scaled_down,
        templates::function(),
        crate::storage::folder_value(),
    ]
}

/// The aggregates, likewise.
pub(super) fn aggregates() -> [Arc<AggregateUDF>; 2] {
    intervals::aggregates()
}

/// Checked arithmetic, intervals compared by their length, and what else is decided by an expression alone.
fn decided(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = columns_in_reach(&plan)?;
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| {
            let checked = arithmetic::checked(expr, &schema)?;
            let checked = checked.transform_data(|expr| intervals::compared(expr, &schema))?;
            let checked = checked.transform_data(digits::cast)?;
            let checked = checked.transform_data(|expr| zeros::both(expr, &schema))?;
            let checked = checked.transform_data(|expr| moments::read(expr, &schema))?;
            let checked = checked.transform_data(|expr| rounded::first(expr, &schema))?;
            let checked = checked.transform_data(null_members::apart)?;
            let checked = checked.transform_data(patterns::translated)?;
            let checked = checked.transform_data(templates::understood)?;
            let checked = checked.transform_data(|expr| concatenation::measured(expr, &schema))?;
            let checked = checked.transform_data(|expr| Ok(bounded::measured(expr)))?;
            checked.transform_data(nothing_found::admitted)
        })?;
        Ok(rewritten.update_data(|expr: Expr| name.restore(expr)))
    })?;
    rewritten.transform_data(intervals::sorted)
}

/// What the expressions of a node can name.
fn columns_in_reach(plan: &LogicalPlan) -> Result<DFSchema> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = plan {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    Ok(schema)
}
