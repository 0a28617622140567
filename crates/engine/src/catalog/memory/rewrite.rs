//! `DELETE` and `UPDATE` on tables in memory, as plans that rewrite the table.
//!
//! DataFusion would hand the predicate to the table after optimizing the plan, when a predicate that became a join (`IN
//! (SELECT ...)`) or an empty relation (`WHERE 1 = 0`) can no longer be told from none at all, and would run the statement
//! while planning it, so that `EXPLAIN DELETE` deletes. So the statement is rewritten before the optimizer sees it: all rows
//! pass, each marked by whether the predicate is true for it, and [`Replacement`](super::sink::Replacement) commits.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{
    DmlStatement, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, WriteOp, lit, when,
};
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::{self, BoxFuture};

use super::sink::{AFFECTED, Affected, Replacement, marked_schema};
use super::{Contents, MemoryTable};
use crate::catalog::scan::{Scan, ScanRequest, Table};
use crate::error::{Error, Result};

/// The plan with every `DELETE` and `UPDATE` on a table in memory rewritten, also inside of `EXPLAIN` and `PREPARE`.
///
/// The result remembers what the tables hold now and can commit only as long as they do: plan anew for each execution.
///
/// # Errors
/// `Unsupported` for what cannot be rewritten: `UPDATE ... FROM`, `DELETE ... LIMIT`, `IN (SELECT ...)` and `EXISTS`.
pub(crate) fn rewrite_dml(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_down(|node| match node {
        LogicalPlan::Dml(statement) => {
            let statement = rewrite(statement)?;
            Ok(Transformed::new(LogicalPlan::Dml(statement), true, TreeNodeRecursion::Stop))
        }
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::Statement(_) => Ok(Transformed::no(node)),
        query => Ok(Transformed::new(query, false, TreeNodeRecursion::Stop)),
    });
    Ok(rewritten?.data)
}

fn rewrite(statement: DmlStatement) -> Result<DmlStatement> {
    let affected = match &statement.op {
        WriteOp::Delete => Affected::Dropped,
        WriteOp::Update => Affected::Kept,
        _ => return Ok(statement),
    };
    let Some(table) = target(&statement) else { return Ok(statement) };
    // Taken before the scan takes its own: a change in between makes the commit fail rather than lose rows.
    let seen = table.snapshot();
    let rows = match affected {
        Affected::Dropped => mark(&statement.input)?,
        Affected::Kept => update(&statement.input)?,
    };
    let target = Table::new(Arc::new(Rewrite { schema: marked_schema(&table.schema), table, seen, affected }));
    Ok(DmlStatement::new(
        statement.table_name,
        Arc::new(DefaultTableSource::new(Arc::new(target))),
        WriteOp::Insert(InsertOp::Overwrite),
        Arc::new(rows),
    ))
}

fn target(statement: &DmlStatement) -> Option<Arc<MemoryTable>> {
    let source = statement.target.downcast_ref::<DefaultTableSource>()?;
    let table = source.table_provider.downcast_ref::<Table<MemoryTable>>()?;
    Some(Arc::clone(table.inner()))
}

/// All rows of the table, with the mark.
fn mark(input: &LogicalPlan) -> Result<LogicalPlan> {
    let (predicate, rows) = match input {
        LogicalPlan::Filter(Filter { predicate, input, .. }) => (predicate.clone().is_true(), input.as_ref()),
        other => (lit(true), other),
    };
    refuse_subqueries(&predicate)?;
    if !is_table(rows) {
        return Err(Error::unsupported("UPDATE ... FROM and DELETE ... LIMIT are not supported for tables in memory")
            .hint("use a subquery in WHERE and in SET"));
    }
    let columns = rows.schema().columns().into_iter().map(Expr::Column).chain([predicate.alias(AFFECTED)]);
    Ok(LogicalPlanBuilder::from(rows.clone()).project(columns)?.build()?)
}

/// All rows of the table, with the new values where the mark is set.
fn update(input: &LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(assignments) = input else {
        return Err(Error::internal("the plan of an UPDATE does not end in its assignments"));
    };
    let marked = mark(&assignments.input)?;
    let affected = || Expr::Column(Column::from_name(AFFECTED));
    let old = assignments.input.schema().columns();
    let mut columns = Vec::with_capacity(old.len() + 1);
    for (assignment, old) in assignments.expr.iter().zip(old) {
        columns.push(assigned(assignment, old, affected(), marked.schema())?);
    }
    columns.push(affected());
    Ok(LogicalPlanBuilder::from(marked).project(columns)?.build()?)
}

fn assigned(assignment: &Expr, old: Column, affected: Expr, schema: &DFSchema) -> Result<Expr> {
    let name = old.name.clone();
    let new = assignment.clone().unalias();
    refuse_subqueries(&new)?;
    if new == Expr::Column(old.clone()) {
        return Ok(new.alias(name));
    }
    let old = Expr::Column(old);
    let data_type = old.get_type(schema)?;
    let value = when(affected, new).otherwise(old)?;
    Ok(value.cast_to(&data_type, schema)?.alias(name))
}

/// DataFusion plans `IN (SELECT ...)` and `EXISTS` in filters only, where they decide and not just mark.
fn refuse_subqueries(expr: &Expr) -> Result<()> {
    let subquery = |expr: &Expr| Ok(matches!(expr, Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)));
    if expr.exists(subquery)? {
        return Err(Error::unsupported("IN (SELECT ...) and EXISTS are not supported in changes of tables in memory")
            .hint("use CREATE OR REPLACE TABLE ... AS SELECT ... with the rows that are to stay"));
    }
    Ok(())
}

fn is_table(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::SubqueryAlias(alias) => is_table(&alias.input),
        _ => false,
    }
}

/// The target of a rewritten statement: a table in memory as [`Replacement`] writes it.
#[derive(Debug)]
struct Rewrite {
    table: Arc<MemoryTable>,
    seen: Arc<Contents>,
    affected: Affected,
    schema: SchemaRef,
}

impl Scan for Rewrite {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn scan(
        self: Arc<Self>,
        _request: ScanRequest,
    ) -> BoxFuture<'static, datafusion::error::Result<Arc<dyn ExecutionPlan>>> {
        future::err(Error::internal("the target of a statement is not read").into()).boxed()
    }

    fn insert(
        self: Arc<Self>,
        input: Arc<dyn ExecutionPlan>,
        _op: InsertOp,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let sink = Replacement::of_affected(Arc::clone(&self.table), Arc::clone(&self.seen), self.affected);
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }
}
