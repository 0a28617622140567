//! Which partitions of a stage each task gets.
//!
//! Ballista gives a task one partition for each slot that it gets. What it does for each task then takes as long for ten
//! thousand partitions as for as many tasks: a plan is cut down and sent, a status comes back. So here a slot gets several
//! partitions of a stage that has very many, which take turns on the worker.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::config::BallistaConfig;
use ballista_core::serde::protobuf::{AvailableVcores, job_status};
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::cluster::{BoundTask, DistributionPolicy};
use ballista_scheduler::state::execution_graph::{TaskDescription, create_task_info};
use ballista_scheduler::state::execution_stage::{ExecutionStage, RunningStage};
use ballista_scheduler::state::task_manager::JobInfoCache;

use crate::jobs::Jobs;
use crate::keys::{self, FilterId, Known};
use crate::plan::{are_apart, collapses};

/// Tasks of one stage for each slot of the cluster, at most: enough for slots that are done early to get more.
const TASKS_PER_SLOT: usize = 32;

/// Gives tasks to workers in turn, the one with most free slots first.
///
/// Stages whose runtime filters wait for keys get none before those are known.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) jobs: Arc<Jobs>,
    /// Slots of the cluster, free or not.
    pub(super) slots: usize,
}

#[async_trait]
impl DistributionPolicy for Binding {
    async fn bind_tasks(
        &self,
        mut budgets: Vec<&mut AvailableVcores>,
        jobs: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> datafusion::error::Result<Vec<BoundTask>> {
        budgets.sort_by_key(|budget| Reverse(budget.vcores));
        let (mut bound, mut turn) = (Vec::new(), 0);
        for (id, job) in jobs.iter() {
            if !matches!(job.status, Some(job_status::Status::Running(_))) {
                continue;
            }
            let mut graph = job.execution_graph.write().await;
            let session = graph.session_id().to_owned();
            let record = self.jobs.get(id.as_str());
            let mut waiting = Vec::new();
            while let Some(stage) = graph.fetch_running_stage(&waiting) {
                let known = |filter| record.as_ref().map_or(Some(Known::TooMany), |job| job.keys(filter));
                let Some(told) = keys::told(&stage.plan, known)? else {
                    let (waits, mut lost) = (stage.stage_id, keys::awaits(stage.plan.as_ref()));
                    lost.retain(|filter| known(*filter).is_none() && !is_collected(graph.stages(), *filter));
                    // Without them it goes on at once.
                    lost.iter().for_each(|filter| record.iter().for_each(|job| job.no_keys(*filter)));
                    if lost.is_empty() {
                        waiting.push(waits);
                    }
                    continue;
                };
                stage.plan = told;
                let share = Share::of(stage, self.slots);
                while let Some(at) = next_free(&budgets, turn) {
                    turn = at + 1;
                    match share.task(stage, budgets[at], id, &session) {
                        Some(task) => bound.push(task),
                        None => break,
                    }
                }
                // What is left of the stage waits for a slot.
                if !stage.pending.is_empty() {
                    return Ok(bound);
                }
            }
        }
        Ok(bound)
    }

    fn name(&self) -> &'static str {
        "shares"
    }
}

/// Whether the keys of the filter are still to come; those of a stage that had no task never do.
fn is_collected(stages: &HashMap<usize, ExecutionStage>, filter: FilterId) -> bool {
    let mut unfinished = stages.values().filter(|stage| !matches!(stage, ExecutionStage::Successful(_)));
    unfinished.any(|stage| keys::collects(stage.plan()).contains(&filter))
}

/// Whose turn it is, from `turn` on.
fn next_free(budgets: &[&mut AvailableVcores], turn: usize) -> Option<usize> {
    let count = budgets.len();
    (turn..turn + count).map(|at| at % count).find(|at| budgets[*at].vcores > 0)
}

/// How the partitions of a stage are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// One task brings all partitions together, and one thread at a time has something to do.
    Whole,
    Parts {
        /// Slots that a task gets, at most.
        slots: usize,
        /// Partitions for each of them.
        each: usize,
    },
}

impl Share {
    fn of(stage: &RunningStage, slots: usize) -> Self {
        let input = stage.plan.children().first().map_or_else(|| Arc::clone(&stage.plan), |input| Arc::clone(input));
        if collapses(&input) {
            return Self::Whole;
        }
        let config = stage.session_config.options().extensions.get::<BallistaConfig>();
        let by_task = config.map_or(0, BallistaConfig::max_partitions_per_task);
        let each = if are_apart(&input) { stage.partitions / (slots.max(1) * TASKS_PER_SLOT) } else { 1 };
        Self::Parts { slots: if by_task == 0 { usize::MAX } else { by_task }, each: each.max(1) }
    }

    /// The next task, if partitions wait for one; takes its slots from those of the worker.
    fn task(
        self,
        stage: &mut RunningStage,
        worker: &mut AvailableVcores,
        job: &JobId,
        session: &str,
    ) -> Option<BoundTask> {
        let (slots, most) = match self {
            Self::Whole => (1, usize::MAX),
            Self::Parts { slots, each } => {
                let slots = slots.min(worker.vcores as usize);
                (slots, slots.saturating_mul(each))
            }
        };
        let partitions = stage.pending.next_slice(most);
        if partitions.is_empty() {
            return None;
        }
        let vcores_consumed = u32::try_from(slots.min(partitions.len())).unwrap_or(worker.vcores).min(worker.vcores);
        worker.vcores -= vcores_consumed;
        // Tasks are numbered as they are given.
        let task_id = stage.task_infos.len();
        let failures = partitions.iter().filter_map(|partition| stage.task_failure_numbers.get(*partition));
        let task_attempt = failures.copied().max().unwrap_or(0);
        let mut info = create_task_info(worker.executor_id.clone(), task_id);
        info.global_input_partition_ids.clone_from(&partitions);
        info.vcores_consumed = vcores_consumed;
        stage.task_infos.push(info);
        let task = TaskDescription {
            session_id: session.to_owned(),
            key: TaskKey { job_id: job.clone(), stage_id: stage.stage_id, task_id },
            stage_attempt_num: stage.stage_attempt_num,
            task_attempt,
            global_input_partition_ids: partitions,
            vcores_consumed,
            plan: Arc::clone(&stage.plan),
            session_config: Arc::clone(&stage.session_config),
        };
        Some((worker.executor_id.clone(), task))
    }
}
