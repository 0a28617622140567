//! Plans for the cluster, decided to the last before the scheduler gets them.
//!
//! Ballista cuts a physical plan into stages where rows are exchanged, turns joins round when it knows the sizes of their sides,
//! and gives each task some partitions of a stage. What was right for one process may be wrong then: rows lose their order,
//! a side of a join is seen in parts, a branch of a union is computed by every task. Its adaptive planner is not used at all; it
//! plans finished stages again, and then takes the rows of one stage for those of another. So here joins are planned for tasks
//! that share nothing ([`joins`]), what could be changed later is fixed ([`fixed`]), and a plan goes only if each of its
//! stages can be computed as it is ([`stages`]) and arrives as it left ([`whole`]).

mod fixed;
mod joins;
mod leaves;
mod loss;
mod stages;
mod tuned;
mod whole;

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use tidemill_engine::run::Planned;

use crate::config::CoordinatorConfig;
use crate::members::Width;

pub(crate) use fixed::FixedExec;
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
    let why = |error: datafusion::error::DataFusionError| format!("it has no plan there: {}", error.strip_backtrace());
    let plan = state.create_physical_plan(planned.logical).await.map_err(why)?;
    leaves::check(&plan)?;
    whole::check(&plan, codec, &state, config.plan_limit)?;
    let plan = fixed::fix(plan).map_err(why)?;
    stages::check(&plan, state.config_options())?;
    Ok(plan)
}
