//! Whether the answer of a plan is a matter of its tables alone, and what makes it the same as another.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, Volatility};

use crate::cache::{Digester, Fingerprint, Identity, Sources};
use crate::catalog::MemoryTable;
use crate::catalog::scan::Table;
use crate::error::Result;
use crate::session::Statement;
use crate::storage::ExternalTable;

/// Looks on while a statement is planned whose answer may be kept.
#[derive(Debug)]
pub(super) struct Watch {
    sources: Arc<Sources>,
    /// The tables of the plan by the names it has for them.
    tables: Vec<(String, Fingerprint)>,
    since: Instant,
}

impl Watch {
    /// Begins before the plan is made physical; there is none for a plan that writes, that calls a function whose value may
    /// differ from call to call, or that reads what has no version at all, such as the server's own tables.
    pub(super) fn begin(state: &mut SessionState, plan: &LogicalPlan) -> Result<Option<Self>> {
        let since = Instant::now();
        let Some(tables) = tables_alone(plan)? else { return Ok(None) };
        Ok(Some(Self { sources: Sources::watch(state.config_mut()), tables, since }))
    }

    /// The identity of the answer, once the plan is physical. `text` is the statement, `plan` what it means with its values.
    pub(super) async fn identity(self, statement: &Statement, text: &str, plan: &LogicalPlan) -> Identity {
        let principal = statement.session.principal();
        let digester = Digester::new(env!("CARGO_PKG_VERSION"))
            .add(text)
            .add(plan)
            .add(&self.tables)
            .add(principal.name())
            .add(&principal.role());
        let digester = statement.shown.of_results().fold(digester, |digester, setting| digester.add(&setting));
        let min_age = statement.session.engine().cache().min_file_age();
        Identity { statement: digester.end(), version: self.sources.version(min_age).await, since: self.since }
    }
}

/// The tables of a plan, if its answer depends on nothing else.
fn tables_alone(plan: &LogicalPlan) -> Result<Option<Vec<(String, Fingerprint)>>> {
    let mut tables = Vec::new();
    let mut alone = true;
    plan.apply_with_subqueries(|node| {
        alone = note(node, &mut tables).is_continue() && is_immutable(node)?;
        Ok(if alone { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    tables.sort();
    tables.dedup();
    Ok(alone.then_some(tables))
}

fn note(node: &LogicalPlan, tables: &mut Vec<(String, Fingerprint)>) -> ControlFlow<()> {
    match node {
        LogicalPlan::TableScan(scan) => match table(scan) {
            Some(table) => {
                tables.push((scan.table_name.to_string(), table));
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        },
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_) => ControlFlow::Continue(()),
        LogicalPlan::Statement(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_)
        | LogicalPlan::Extension(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Ddl(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::RecursiveQuery(_) => ControlFlow::Break(()),
    }
}

/// What is read and how, apart from the rows; absent for tables that do not note what their scans read.
fn table(scan: &TableScan) -> Option<Fingerprint> {
    let provider = &scan.source.downcast_ref::<DefaultTableSource>()?.table_provider;
    if let Some(table) = provider.downcast_ref::<Table<MemoryTable>>() {
        return Some(Digester::new("memory table").add(table.inner().id().as_bytes()).end());
    }
    provider.downcast_ref::<ExternalTable>().map(ExternalTable::fingerprint)
}

/// Whether every function of a node gives the same value for the same arguments, today and tomorrow.
fn is_immutable(node: &LogicalPlan) -> DataFusionResult<bool> {
    let mut immutable = true;
    node.apply_expressions(|expr| {
        expr.apply(|part| {
            immutable &= volatility(part) == Volatility::Immutable;
            Ok(if immutable { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
    })?;
    Ok(immutable)
}

fn volatility(expr: &Expr) -> Volatility {
    match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility,
        Expr::AggregateFunction(call) => call.func.signature().volatility,
        Expr::WindowFunction(call) => call.fun.signature().volatility,
        Expr::HigherOrderFunction(call) => call.func.signature().volatility,
        Expr::ScalarVariable(..) | Expr::Placeholder(_) => Volatility::Volatile,
        _ => Volatility::Immutable,
    }
}
