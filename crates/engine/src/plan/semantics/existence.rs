//! `EXISTS` in the select list, and wherever else it is a value: DataFusion can make a join of it in a condition only.
//!
//! One that refers to the query around it becomes a column of that query, by a join that marks the rows with a match. One that
//! does not is a count of at most one row. Where no join can say it, it stays, and the planner of executions refuses it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Spans};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr_rewriter::{NamePreserver, replace_col};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Sort, SortExpr, Subquery, lit,
};
use datafusion::optimizer::decorrelate::PullUpCorrelatedExpr;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};

/// What the answer of an `EXISTS` is called.
const FOUND: &str = "__found";

/// The rules of the optimizer, with the one for `EXISTS` before DataFusion's own.
pub(in crate::plan) fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let own = rules.iter().position(|rule| rule.name() == "decorrelate_predicate_subquery").unwrap_or(0);
    rules.insert(own, Arc::new(Existence));
    rules
}

#[derive(Debug)]
struct Existence;

impl OptimizerRule for Existence {
    fn name(&self) -> &'static str {
        "sql_existence"
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(|node| answered(node, config))
    }
}

fn answered(node: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let input = match &node {
        LogicalPlan::Projection(projection) => &projection.input,
        LogicalPlan::Aggregate(aggregate) => &aggregate.input,
        LogicalPlan::Window(window) => &window.input,
        _ => return Ok(Transformed::no(node)),
    };
    if !mentions(&node, |expr| matches!(expr, Expr::Exists(_))) {
        return Ok(Transformed::no(node));
    }
    let mut input = input.as_ref().clone();
    let schema = Arc::clone(node.schema());
    let names = NamePreserver::new(&node);
    let mut answers = Vec::new();
    for expr in node.expressions() {
        let name = names.save(&expr);
        let answer = expr.transform_up(|expr| match expr {
            Expr::Exists(exists) => match found(&exists.subquery, &mut input, config)? {
                Some(found) if exists.negated => Ok(Transformed::yes(!found)),
                Some(found) => Ok(Transformed::yes(found)),
                None => Ok(Transformed::no(Expr::Exists(exists))),
            },
            other => Ok(Transformed::no(other)),
        })?;
        answers.push(name.restore(answer.data));
    }
    let plan = node.with_new_exprs(answers, vec![input])?;
    if plan.schema().fields().len() == schema.fields().len() {
        return Ok(Transformed::yes(plan));
    }
    // A window hands on the columns of its input.
    let columns = schema.columns().into_iter().map(Expr::Column);
    Ok(Transformed::yes(LogicalPlanBuilder::from(plan).project(columns)?.build()?))
}

pub(super) fn mentions(node: &LogicalPlan, kind: impl Fn(&Expr) -> bool) -> bool {
    let mentions = |expr: &Expr| expr.exists(|part| Ok(kind(part))).unwrap_or(true);
    node.expressions().iter().any(mentions)
}

/// Whether the subquery has a row, as a value for each row of the input; `None` if no join can say it.
fn found(subquery: &Subquery, input: &mut LogicalPlan, config: &dyn OptimizerConfig) -> Result<Option<Expr>> {
    let rows = subquery.subquery.as_ref().clone();
    if subquery.outer_ref_columns.is_empty() {
        let number = count(lit(1_i64)).alias(FOUND);
        let counted = LogicalPlanBuilder::from(rows).limit(0, Some(1))?.aggregate(Vec::<Expr>::new(), [number])?;
        let found = Expr::Column(Column::from_name(FOUND)).gt(lit(0_i64)).alias(FOUND);
        let subquery = Arc::new(counted.project([found])?.build()?);
        let subquery = Subquery { subquery, outer_ref_columns: Vec::new(), spans: Spans::new() };
        return Ok(Some(Expr::ScalarSubquery(subquery)));
    }
    let mut pulled = PullUpCorrelatedExpr::new().with_exists_sub_query(true);
    let rows = rows.rewrite(&mut pulled).data()?;
    if !pulled.can_pull_up {
        return Ok(None);
    }
    let alias = config.alias_generator().next("__correlated_sq");
    let inner: BTreeSet<Column> = pulled.correlated_subquery_cols_map.into_values().flatten().collect();
    let outer: Vec<Column> = inner.iter().map(|column| Column::new(Some(alias.clone()), &column.name)).collect();
    let renamed: HashMap<&Column, &Column> = inner.iter().zip(&outer).collect();
    let condition = match conjunction(pulled.join_filters) {
        Some(condition) => replace_col(condition, &renamed)?,
        None => lit(true),
    };
    let mut rows = LogicalPlanBuilder::from(rows).alias(alias.clone())?.build()?;
    let compared: BTreeSet<usize> =
        condition.column_refs().into_iter().filter_map(|column| rows.schema().maybe_index_of_column(column)).collect();
    if !compared.is_empty() {
        rows = LogicalPlanBuilder::from(rows).select(compared)?.build()?;
    }
    *input = LogicalPlanBuilder::from(input.clone()).join_on(rows, JoinType::LeftMark, [condition])?.build()?;
    Ok(Some(Expr::Column(Column::new(Some(alias), "mark"))))
}

/// Subqueries where DataFusion takes none, put where it does: the answer that rows are sorted by becomes a column first, and
/// the condition of an inner join a filter.
pub(super) fn placed(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Sort(sort) => keyed(sort),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => filtered(join),
        other => Ok(Transformed::no(other)),
    }
}

fn is_answer(expr: &Expr) -> bool {
    matches!(expr, Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}

fn filtered(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    match join.filter.take() {
        Some(condition) if condition.exists(|part| Ok(is_answer(part)))? => {
            let filter = Filter::try_new(condition, Arc::new(LogicalPlan::Join(join)))?;
            Ok(Transformed::yes(LogicalPlan::Filter(filter)))
        }
        filter => Ok(Transformed::no(LogicalPlan::Join(Join { filter, ..join }))),
    }
}

fn keyed(sort: Sort) -> Result<Transformed<LogicalPlan>> {
    let mut columns: Vec<Expr> = sort.input.schema().columns().into_iter().map(Expr::Column).collect();
    let shown = columns.clone();
    let mut keys = Vec::with_capacity(sort.expr.len());
    for key in sort.expr {
        if !key.expr.exists(|part| Ok(is_answer(part)))? {
            keys.push(key);
            continue;
        }
        let name = format!("__sort_key_{}", keys.len());
        columns.push(key.expr.alias(&name));
        let expr = Expr::Column(Column::from_name(name));
        keys.push(SortExpr { expr, ..key });
    }
    if columns.len() == shown.len() {
        return Ok(Transformed::no(LogicalPlan::Sort(Sort { expr: keys, ..sort })));
    }
    let input = LogicalPlanBuilder::from(sort.input).project(columns)?.build()?;
    let sorted = LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(input), fetch: sort.fetch });
    Ok(Transformed::yes(LogicalPlanBuilder::from(sorted).project(shown)?.build()?))
}
