//! From a logical to a physical plan, and what can be said of it before it runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::format::ExplainFormat;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, WriteOp};
use datafusion::physical_plan::ExecutionPlan;

use super::{Access, Effect};
use crate::catalog::is_virtual;
use crate::error::Result;
use crate::storage::with_one_file;

/// A plan that can run.
#[derive(Debug)]
pub(crate) struct PhysicalQuery {
    /// The optimized logical plan.
    pub(crate) logical: LogicalPlan,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// Whether it writes to storage.
    pub(crate) writes: bool,
    /// Whether it only looks at the server itself.
    pub(crate) about_server: bool,
    /// Whether it is over in microseconds.
    pub(crate) light: bool,
    /// What of it a runner elsewhere may compute; absent if nothing, or if there is no such runner.
    pub(crate) portable: Option<Box<Portable>>,
}

/// What a runner elsewhere may compute.
#[derive(Debug)]
pub(crate) struct Portable {
    pub(crate) logical: LogicalPlan,
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) state: SessionState,
    pub(crate) purpose: Purpose,
    /// The plan of the runner, or why it has none; absent as long as the runner was not asked.
    pub(crate) distributed: Option<Result<Arc<dyn ExecutionPlan>, String>>,
}

/// What is wanted of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its rows.
    Rows,
    /// How it would run.
    Explain,
    /// How it ran.
    Analyze,
    /// Its rows, to be written here.
    Source,
}

impl PhysicalQuery {
    /// Whether it asks how a query runs, rather than for its rows.
    pub(crate) fn is_explained(&self) -> bool {
        matches!(self.logical, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_))
    }

    /// Whether it asks how a query would run, and does not run it.
    pub(crate) fn only_explains(&self) -> bool {
        matches!(self.logical, LogicalPlan::Explain(_))
    }

    /// Whether it asks how a statement would run that writes.
    pub(crate) fn explains_write(&self) -> bool {
        let LogicalPlan::Explain(explain) = &self.logical else { return false };
        Traits::of(&explain.plan).is_ok_and(|traits| traits.effect == Effect::Write)
    }

    /// Whether its rows are lines of text, to which one may be added.
    pub(crate) fn may_be_annotated(&self) -> bool {
        let format = match &self.logical {
            LogicalPlan::Explain(explain) => &explain.explain_format,
            LogicalPlan::Analyze(analyze) => &analyze.format,
            _ => return false,
        };
        matches!(format, ExplainFormat::Indent | ExplainFormat::Tree)
    }

    /// Finds what of it may be computed elsewhere: all of a query, and of a statement that writes files the query.
    pub(super) async fn make_portable(&mut self, state: SessionState) {
        let (logical, plan, purpose) = match &self.logical {
            LogicalPlan::Explain(explain) => {
                // EXPLAIN tells by itself why a plan can not be made.
                let planned = state.query_planner().create_physical_plan(&explain.plan, &state).await;
                let Ok(plan) = planned else { return };
                if self.explains_write() {
                    let Some((logical, plan)) = source(&explain.plan, &plan) else { return };
                    (logical, plan, Purpose::Explain)
                } else {
                    (explain.plan.as_ref().clone(), plan, Purpose::Explain)
                }
            }
            logical if self.writes => {
                let Some((logical, plan)) = source(logical, &self.plan) else { return };
                (logical, plan, Purpose::Source)
            }
            LogicalPlan::Analyze(analyze) => match self.plan.children().as_slice() {
                [plan] => (analyze.input.as_ref().clone(), Arc::clone(plan), Purpose::Analyze),
                _ => return,
            },
            logical if !self.about_server => (logical.clone(), Arc::clone(&self.plan), Purpose::Rows),
            _ => return,
        };
        self.portable = Some(Box::new(Portable { logical, plan, state, purpose, distributed: None }));
    }
}

/// The query whose rows a statement writes to files, and its plan.
fn source(logical: &LogicalPlan, plan: &Arc<dyn ExecutionPlan>) -> Option<(LogicalPlan, Arc<dyn ExecutionPlan>)> {
    let query = match logical {
        LogicalPlan::Copy(copy) => &copy.input,
        LogicalPlan::Dml(insert) if matches!(insert.op, WriteOp::Insert(_)) => &insert.input,
        _ => return None,
    };
    let rows = plan.downcast_ref::<DataSinkExec>()?.input();
    // Whatever else is done to the rows on their way to the files is done here only.
    let is_whole = rows.schema().as_ref() == query.schema().as_arrow();
    is_whole.then(|| (query.as_ref().clone(), Arc::clone(rows)))
}

/// Optimizes the plan and makes it physical.
pub(super) async fn physical(state: &SessionState, logical: &LogicalPlan) -> Result<PhysicalQuery> {
    let traits = Traits::of(logical)?;
    let optimized = state.optimize(logical)?;
    let mut plan = state.query_planner().create_physical_plan(&optimized, state).await?;
    if writes_one_folder(&optimized) {
        plan = with_one_file(plan)?;
    }
    let about_server =
        traits.only_explains || traits.scans > 0 && traits.scans == traits.server_scans && !traits.unbounded;
    let light = about_server || traits.scans == 0 && !traits.unbounded;
    Ok(PhysicalQuery {
        logical: optimized,
        plan,
        writes: traits.effect == Effect::Write,
        about_server,
        light,
        portable: None,
    })
}

/// Whether it writes files to one place, rather than to a folder for each value.
fn writes_one_folder(logical: &LogicalPlan) -> bool {
    match logical {
        LogicalPlan::Copy(copy) => copy.partition_by.is_empty(),
        LogicalPlan::Analyze(analyze) => writes_one_folder(&analyze.input),
        _ => false,
    }
}

/// What a logical plan touches.
pub(super) fn access(logical: &LogicalPlan, read_only: bool) -> Result<Access> {
    let traits = Traits::of(logical)?;
    Ok(Access { effect: traits.effect, read_only, tables: traits.tables.into_iter().collect() })
}

/// What a logical plan is made of.
#[derive(Debug)]
struct Traits {
    effect: Effect,
    tables: BTreeSet<String>,
    scans: usize,
    server_scans: usize,
    /// Whether a few rows can become arbitrarily many.
    unbounded: bool,
    only_explains: bool,
}

impl Traits {
    fn of(logical: &LogicalPlan) -> Result<Self> {
        let mut traits = Self {
            effect: Effect::Read,
            tables: BTreeSet::new(),
            scans: 0,
            server_scans: 0,
            unbounded: false,
            only_explains: matches!(logical, LogicalPlan::Explain(_)),
        };
        logical.apply_with_subqueries(|node| {
            traits.note(node);
            Ok(TreeNodeRecursion::Continue)
        })?;
        if traits.only_explains {
            traits.effect = Effect::Read;
        }
        Ok(traits)
    }

    fn note(&mut self, node: &LogicalPlan) {
        match node {
            LogicalPlan::TableScan(scan) => {
                self.scans += 1;
                self.server_scans += usize::from(scan.table_name.schema().is_some_and(is_virtual));
                self.tables.insert(scan.table_name.to_string());
            }
            LogicalPlan::Dml(dml) => {
                self.effect = Effect::Write;
                self.tables.insert(dml.table_name.to_string());
            }
            LogicalPlan::Copy(_) | LogicalPlan::Ddl(_) => self.effect = Effect::Write,
            LogicalPlan::RecursiveQuery(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Analyze(_) => {
                self.unbounded = true;
            }
            _ => {}
        }
    }
}
