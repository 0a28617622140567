//! Plans for the cluster, decided to the last before the scheduler gets them.
//!
//! Ballista cuts a physical plan into stages where rows are exchanged, turns joins round when it knows the sizes of their sides,
//! and gives each task some partitions of a stage. What was right for one process may be wrong then: rows lose their order,
//! a side of a join is seen in parts, a branch of a union is computed by every task. Its adaptive planner is not used at all; it
//! plans finished stages again, and then takes the rows of one stage for those of another. So here joins are planned for tasks
//! that share nothing ([`joins`]), keys of one side filter the other before it is exchanged ([`filters`]), what could be changed
//! later is fixed ([`fixed`]), scans take along how they read ([`read_as`]), and a plan goes only if each of its stages can be computed as it is ([`stages`]) and arrives as
//! it left ([`whole`]).

mod apart;
mod filters;
mod fixed;
mod joins;
mod leaves;
mod loss;
mod read_as;
mod stages;
mod tuned;
mod whole;

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use tidemill_engine::run::Planned;

use crate::config::CoordinatorConfig;
use crate::members::Width;

pub(crate) use apart::{are_apart, collapses};
pub(crate) use fixed::FixedExec;
pub(crate) use read_as::ReadAsExec;
pub(crate) use stages::stages;
pub(crate) use tuned::state;

/// The plan with which the cluster computes what is planned here; otherwise why it can not.
pub(crate) async fn plan(
    planned: Planned<'_>,
    config: &CoordinatorConfig,
    width: Width,
    codec: &dyn PhysicalExtensionCodec,
) -> Result<Arc<dyn ExecutionPlan>, String> {
    leaves::check(planned.plan)?;
    loss::check(planned.logical)?;
    let state = state(planned.state, config, width, "plan");
    let why = |error: DataFusionError| format!("it has no plan there: {}", error.strip_backtrace());
    let plan = physical(planned.logical, &state).await.and_then(joins::whole).map_err(why)?;
    leaves::check(&plan)?;
    let filtered = match config.runtime_filter_rows {
        0 => None,
        rows => filters::add(&plan, rows).map_err(why)?,
    };
    let checked = |plan: Arc<dyn ExecutionPlan>| {
        let plan = read_as::told(plan).map_err(why)?;
        whole::check(&plan, codec, &state, config.plan_limit)?;
        let plan = fixed::fix(plan).map_err(why)?;
        stages::check(&plan, state.config_options())?;
        Ok(plan)
    };
    if let Some(filtered) = filtered {
        match checked(filtered) {
            Ok(plan) => return Ok(plan),
            Err(reason) => tracing::warn!(%reason, "runtime filters would be in the way, and are left out"),
        }
    }
    checked(plan)
}

/// The physical plan of an optimized plan. What is computed apart here, subqueries that stand for a value, are joins there, which
/// the optimizer makes of them; nothing else that it does depends on who computes.
async fn physical(logical: &LogicalPlan, state: &SessionState) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let mut has_subqueries = false;
    logical.apply(|node| {
        node.apply_expressions(|expression| {
            has_subqueries |= expression.exists(|expression| Ok(matches!(expression, Expr::ScalarSubquery(_))))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    let planner = state.query_planner();
    if has_subqueries {
        return planner.create_physical_plan(&state.optimize(logical)?, state).await;
    }
    planner.create_physical_plan(logical, state).await
}
