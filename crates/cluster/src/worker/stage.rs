//! A task's plan, made ready to be computed here: with the engine's pauses and counted reads, and so that it can be stopped.

use std::sync::Arc;

use ballista_core::JobId;
use ballista_core::execution_plans::RuntimeStatsExec;
use ballista_core::serde::scheduler::TaskDefinition;
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};
use tidemill_engine::run::TaskEnvironment;

use super::client_pool::ClientPool;
use super::dynamic_filters;
use super::jobs::Accepted;
use super::stoppable::StoppableExec;
use super::work_dir::Folder;
use crate::keys::{self, Collected};
use crate::plan::are_apart;

/// Makes tasks ready.
pub(super) struct Stages {
    environment: Arc<TaskEnvironment>,
    engine: DefaultExecutionEngine,
}

/// A task that can be computed.
pub(super) struct Stage {
    pub(super) executor: Arc<dyn QueryStageExecutor>,
    pub(super) context: Arc<TaskContext>,
    /// What it collects for runtime filters.
    pub(super) collected: Vec<Arc<Collected>>,
}

impl Stages {
    pub(super) fn new(environment: &Arc<TaskEnvironment>) -> Self {
        let engine = DefaultExecutionEngine::with_client_pool(Arc::new(ClientPool::new()));
        Self { environment: Arc::clone(environment), engine }
    }

    /// Makes a task ready that writes into `folder`.
    pub(super) fn ready(&self, task: TaskDefinition, accepted: &Accepted, folder: &Folder) -> Result<Stage> {
        let runtime = Arc::clone(accepted.job.runtime(&self.environment)?.env());
        let slots = task.vcores_consumed as usize;
        let plan = self.prepare(&task.plan, task.session_config.options(), (accepted, slots), &runtime)?;
        let collected = keys::collected(plan.as_ref());
        let executor = self.engine.create_query_stage_exec(
            JobId::new(accepted.job.id.as_str()),
            task.stage_id,
            task.task_id,
            task.global_output_partition_ids,
            plan,
            &folder.text(),
            &task.session_config,
        )?;
        let functions = task.function_registry;
        let context = TaskContext::new(
            Some(format!("{}/{}/{}", accepted.job.id, task.stage_id, task.task_id)),
            task.session_id,
            task.session_config,
            functions.scalar_functions.clone(),
            functions.higher_order_functions.clone(),
            functions.aggregate_functions.clone(),
            functions.window_functions.clone(),
            runtime,
        );
        Ok(Stage { executor, context: Arc::new(context), collected })
    }

    /// The root writes what the rest computes, and stays the root.
    fn prepare(
        &self,
        writer: &Arc<dyn ExecutionPlan>,
        options: &ConfigOptions,
        (accepted, slots): (&Accepted, usize),
        runtime: &RuntimeEnv,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let children = writer.children();
        let [input] = children.as_slice() else {
            return Err(DataFusionError::Internal(format!("{} is not the writer of a stage", writer.name())));
        };
        let input = dynamic_filters::connect(Arc::clone(input), options)?;
        let input = self.environment.prepare(input, runtime)?;
        let input = stoppable(input, accepted, slots)?;
        replace_children_if_necessary(Arc::clone(writer), vec![input])
    }
}

/// The plan, so that it ends when the task is stopped, and computes as many partitions at once as the task has slots.
fn stoppable(plan: Arc<dyn ExecutionPlan>, accepted: &Accepted, slots: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let has_statistics = plan.exists(|node| Ok(node.is::<RuntimeStatsExec>()))?;
    if !has_statistics {
        let takes_turns = are_apart(&plan);
        let stoppable = StoppableExec::new(plan, accepted);
        return Ok(Arc::new(if takes_turns { stoppable.at_once(slots) } else { stoppable }));
    }
    let wrap = |node: Arc<dyn ExecutionPlan>| Arc::new(StoppableExec::new(node, accepted)) as Arc<dyn ExecutionPlan>;
    // Ballista looks for statistics and the state of windows along a way on which it knows every operator: there it stays as it is.
    let below = |node: Arc<dyn ExecutionPlan>| {
        let is_way = node.exists(|node| Ok(is_looked_for(node)))?;
        Ok(if is_way { Transformed::no(node) } else { Transformed::new(wrap(node), true, TreeNodeRecursion::Jump) })
    };
    plan.transform_down(below).data()
}

fn is_looked_for(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<RuntimeStatsExec>() || node.is::<BoundedWindowAggExec>() || node.is::<WindowAggExec>()
}
