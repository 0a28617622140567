//! Statements that change tables in memory, as plans whose last operator changes the table.
//!
//! DataFusion would hand the predicate of a `DELETE` to the table after optimizing the plan, when a predicate that became a
//! join (`IN (SELECT ...)`) or an empty relation (`WHERE 1 = 0`) can no longer be told from none at all, and would run the
//! statement while planning it, so that `EXPLAIN DELETE` deletes. So the statement is rewritten before the optimizer sees
//! it, into a query for the numbers of the rows that it is about and for their new values, which [`Write`] puts into
//! effect: whatever the optimizer makes of that query, a row that it does not give is not touched.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, TableReference};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{
    DmlStatement, EmptyRelation, Expr, Filter, Limit, LogicalPlan, LogicalPlanBuilder, TableSource, Values, WriteOp,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::OnConflict;
use futures::FutureExt;
use futures::future::{self, BoxFuture};

use super::MemoryTable;
use super::checks::{RowCheck, cast, default_value};
use super::keys::Taken;
use super::merge::{merge, on_conflict};
use super::sink::{Effect, Write};
use super::turn::{ROW, Rows, Turn};
use crate::catalog::scan::{Scan, ScanRequest, Table};
use crate::error::{Error, Result};

/// What DataFusion's planner does not take of an `INSERT`.
#[derive(Debug, Default)]
pub(crate) struct Inserted {
    /// The columns that it names; all if empty.
    pub(crate) columns: Vec<String>,
    /// `ON CONFLICT`.
    pub(crate) conflict: Option<OnConflict>,
}

/// The plan with every statement that changes a table in memory rewritten, also inside of `EXPLAIN`.
///
/// The result can run once: plan anew for each execution.
///
/// # Errors
/// `Unsupported` for what can not be rewritten: `IN (SELECT ...)` and `EXISTS` outside of `WHERE`, `REPLACE INTO`.
pub(crate) fn rewrite_dml(state: &SessionState, plan: LogicalPlan, inserted: &Inserted) -> Result<LogicalPlan> {
    let rewritten = plan.transform_down(|node| match node {
        LogicalPlan::Dml(statement) => {
            let statement = rewrite(state, statement, inserted)?;
            Ok(Transformed::new(LogicalPlan::Dml(statement), true, TreeNodeRecursion::Stop))
        }
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::Statement(_) => Ok(Transformed::no(node)),
        query => Ok(Transformed::new(query, false, TreeNodeRecursion::Stop)),
    });
    Ok(rewritten?.data)
}

fn rewrite(state: &SessionState, statement: DmlStatement, inserted: &Inserted) -> Result<DmlStatement> {
    let Some(table) = target(&statement.target) else {
        if inserted.conflict.is_some() {
            return Err(Error::unsupported(format!(
                "ON CONFLICT is not supported for table '{}'",
                statement.table_name
            ))
            .hint("only tables in memory have keys"));
        }
        return Ok(statement);
    };
    let checks = RowCheck::all(state, table.shape())?;
    let turn = Turn::new(table);
    let (rows, effect) = match &statement.op {
        WriteOp::Insert(op) => insert(state, &statement, *op, inserted, &turn)?,
        WriteOp::Delete => (numbers(&statement.input, &turn)?, Effect::Delete),
        WriteOp::Update => (update(&statement.input, &turn)?, Effect::Update),
        WriteOp::Truncate => (nothing(turn.table.as_ref())?, Effect::Truncate),
        WriteOp::MergeInto(op) => (merge(state, &statement, op, &turn)?, Effect::Merge(Taken::Fail)),
        _ => return Ok(statement),
    };
    // What an INSERT reads of its own table is what was there when it was planned, as for every query.
    let rows = if matches!(effect, Effect::Insert(_)) { rows } else { as_seen(rows, &turn)? };
    let schema = effect.schema(&turn.table.shape().lenient_schema());
    let target = Target { turn, effect, checks: checks.into(), schema };
    let op = WriteOp::Insert(if matches!(effect, Effect::Insert(_)) { InsertOp::Append } else { InsertOp::Overwrite });
    Ok(DmlStatement::new(statement.table_name, source(target), op, Arc::new(rows)))
}

fn insert(
    state: &SessionState,
    statement: &DmlStatement,
    op: InsertOp,
    inserted: &Inserted,
    turn: &Arc<Turn>,
) -> Result<(LogicalPlan, Effect)> {
    let rows = with_defaults(state, &values_as_they_are(&statement.input)?, inserted, &turn.table)?;
    match (op, &inserted.conflict) {
        (InsertOp::Append, None) => Ok((rows, Effect::Insert(Taken::Fail))),
        (InsertOp::Append, Some(conflict)) => on_conflict(state, statement, rows, conflict, turn),
        (InsertOp::Overwrite, None) => Ok((rows, Effect::Overwrite)),
        (InsertOp::Overwrite, Some(_)) => Err(Error::invalid(
            "INSERT OVERWRITE and ON CONFLICT contradict each other: no row is left to conflict with",
        )),
        (InsertOp::Replace, _) => Err(Error::unsupported("REPLACE INTO is not supported")
            .hint("use INSERT ... ON CONFLICT (key) DO UPDATE SET column = excluded.column")),
    }
}

/// The rows of an `INSERT ... VALUES` in the types of their columns, whatever the types of parameters will be, and as rows
/// that may hold nulls: the planner takes it for granted that they hold none where the table must not, so that one would
/// be an error before the table can say which column it is about.
fn values_as_they_are(rows: &LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(columns) = rows else { return Ok(rows.clone()) };
    let LogicalPlan::Values(values) = columns.input.as_ref() else { return Ok(rows.clone()) };
    let mut fields = Vec::with_capacity(values.schema.fields().len());
    for (qualifier, field) in values.schema.iter() {
        fields.push((qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(true))));
    }
    let typed = |(value, (_, field)): (&Expr, &(Option<TableReference>, FieldRef))| match value {
        Expr::Literal(..) => value.clone(),
        other => cast(other.clone(), field.data_type()),
    };
    let rows = values.values.iter().map(|row| row.iter().zip(&fields).map(typed).collect()).collect();
    let schema = Arc::new(DFSchema::new_with_metadata(fields, HashMap::new())?);
    let values = LogicalPlan::Values(Values { schema, values: rows });
    Ok(LogicalPlanBuilder::from(values).project(columns.expr.clone())?.build()?)
}

/// The rows of an `INSERT` with the defaults of the columns that it does not name, for which the planner put nulls.
fn with_defaults(
    state: &SessionState,
    rows: &LogicalPlan,
    inserted: &Inserted,
    table: &MemoryTable,
) -> Result<LogicalPlan> {
    let shape = table.shape();
    if inserted.columns.is_empty() || shape.defaults.iter().all(Option::is_none) {
        return Ok(rows.clone());
    }
    let LogicalPlan::Projection(values) = rows else {
        return Err(Error::internal("the plan of an INSERT does not end in its columns"));
    };
    let mut columns = Vec::with_capacity(values.expr.len());
    for ((value, field), default) in values.expr.iter().zip(shape.schema.fields()).zip(&shape.defaults) {
        columns.push(match default {
            Some(default) if !inserted.columns.contains(field.name()) => {
                default_value(state, default, field.data_type())?.alias(field.name())
            }
            _ => value.clone(),
        });
    }
    Ok(LogicalPlanBuilder::from(values.input.as_ref().clone()).project(columns)?.build()?)
}

/// The table in memory that stands behind a source.
fn target(source: &Arc<dyn TableSource>) -> Option<Arc<MemoryTable>> {
    let source = source.downcast_ref::<DefaultTableSource>()?;
    memory_table(&source.table_provider)
}

/// The table in memory that DataFusion sees as this.
pub(crate) fn memory_table(provider: &Arc<dyn TableProvider>) -> Option<Arc<MemoryTable>> {
    let table = provider.downcast_ref::<Table<MemoryTable>>()?;
    Some(Arc::clone(table.inner()))
}

pub(super) fn source<T: Scan>(table: T) -> Arc<dyn TableSource> {
    Arc::new(DefaultTableSource::new(Arc::new(Table::new(Arc::new(table)))))
}

/// The plan with the statement's own table read as it is when its turn comes.
pub(super) fn as_seen(plan: LogicalPlan, turn: &Arc<Turn>) -> Result<LogicalPlan> {
    let seen = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        if !target(&scan.source).is_some_and(|table| Arc::ptr_eq(&table, &turn.table)) {
            return Ok(Transformed::no(node));
        }
        let mut scan = scan.clone();
        scan.source = source(Rows::plain(turn));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    });
    Ok(seen?.data)
}

fn nothing(table: &MemoryTable) -> Result<LogicalPlan> {
    let schema = DFSchema::try_from(table.shape().lenient_schema())?;
    Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(schema) }))
}

/// The numbers of the rows that a `DELETE` is about.
fn numbers(input: &LogicalPlan, turn: &Arc<Turn>) -> Result<LogicalPlan> {
    let rows = numbered(input, turn)?;
    Ok(LogicalPlanBuilder::from(rows).project([row()])?.build()?)
}

/// The new values of the rows that an `UPDATE` is about, and their numbers.
fn update(input: &LogicalPlan, turn: &Arc<Turn>) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(assignments) = input else {
        return Err(Error::internal("the plan of an UPDATE does not end in its assignments"));
    };
    let rows = numbered(&assignments.input, turn)?;
    let mut columns = Vec::with_capacity(assignments.expr.len() + 1);
    for (assignment, field) in assignments.expr.iter().zip(turn.table.schema().fields()) {
        let new = assignment.clone().unalias();
        refuse_subqueries(&new)?;
        columns.push(cast(new, field.data_type()).alias(field.name()));
    }
    columns.push(row());
    Ok(LogicalPlanBuilder::from(rows).project(columns)?.build()?)
}

fn row() -> Expr {
    Expr::Column(Column::from_name(ROW))
}

/// The rows of the table that a statement is about, with their numbers.
fn numbered(rows: &LogicalPlan, turn: &Arc<Turn>) -> Result<LogicalPlan> {
    let plan = match rows {
        LogicalPlan::TableScan(scan) => {
            LogicalPlanBuilder::scan(scan.table_name.clone(), source(Rows::numbered(turn)), None)?.build()?
        }
        LogicalPlan::SubqueryAlias(alias) => {
            LogicalPlanBuilder::from(numbered(&alias.input, turn)?).alias(alias.alias.clone())?.build()?
        }
        LogicalPlan::Filter(filter) => {
            let rows = Arc::new(numbered(&filter.input, turn)?);
            LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), rows)?)
        }
        LogicalPlan::Limit(limit) => {
            LogicalPlan::Limit(Limit { input: Arc::new(numbered(&limit.input, turn)?), ..limit.clone() })
        }
        _ => {
            return Err(Error::unsupported("UPDATE ... FROM is not supported for tables in memory")
                .hint("use MERGE, or a subquery in WHERE and in SET"));
        }
    };
    Ok(plan)
}

/// DataFusion plans `IN (SELECT ...)` and `EXISTS` in `WHERE` only.
pub(super) fn refuse_subqueries(expr: &Expr) -> Result<()> {
    let mut found = false;
    expr.apply(|expr| {
        found |= matches!(expr, Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if found {
        return Err(Error::unsupported("IN (SELECT ...) and EXISTS are supported in WHERE only")
            .hint("compare with a scalar subquery, or use CREATE OR REPLACE TABLE ... AS SELECT"));
    }
    Ok(())
}

/// The target of a rewritten statement: a table in memory as [`Write`] changes it.
#[derive(Debug)]
struct Target {
    turn: Arc<Turn>,
    effect: Effect,
    checks: Arc<[RowCheck]>,
    schema: SchemaRef,
}

impl Scan for Target {
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
        let write = Write {
            turn: Arc::clone(&self.turn),
            effect: self.effect,
            checks: Arc::clone(&self.checks),
            schema: Arc::clone(&self.schema),
        };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(write), None)))
    }
}
