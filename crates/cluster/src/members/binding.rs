//! Which partitions of a stage each task gets.
//!
//! Ballista gives a task one partition for each slot that it gets. What it does for each task then takes as long for ten
//! thousand partitions as for as many tasks: a plan is cut down and sent, a status comes back. So here a slot gets several
//! partitions of a stage that has very many, which take turns on the worker.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
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

/// Gives the tasks of one job to workers in turn, the one with most free slots first.
///
/// Stages whose runtime filters wait for keys get none before those are known.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) jobs: Arc<Jobs>,
    /// Slots of the cluster, free or not.
    pub(super) slots: usize,
    /// Of what Ballista's accounts know as free slots of a worker, the reserve.
    pub(super) reserved: HashMap<String, u32>,
    /// Slots that the job has, and up to how many it may take from the reserve.
    pub(super) held: u32,
    pub(super) share: u32,
}

#[async_trait]
impl DistributionPolicy for Binding {
    async fn bind_tasks(
        &self,
        budgets: Vec<&mut AvailableVcores>,
        jobs: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> datafusion::error::Result<Vec<BoundTask>> {
        let mut free = Free::of(budgets, self);
        let mut bound = Vec::new();
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
                while let Some((worker, slots)) = free.next() {
                    let Some(task) = share.task(stage, (&worker, slots), id, &session) else { break };
                    free.take(&worker, task.vcores_consumed);
                    bound.push((worker, task));
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

/// The free slots of the workers, as one job may take them: their own, and when there are none, some of the reserve.
#[derive(Debug)]
struct Free<'a> {
    /// With the reserve of each. Whose turn it is comes first.
    workers: VecDeque<(&'a mut AvailableVcores, u32)>,
    held: u32,
    share: u32,
}

impl<'a> Free<'a> {
    fn of(mut budgets: Vec<&'a mut AvailableVcores>, binding: &Binding) -> Self {
        budgets.sort_by_key(|budget| Reverse(budget.vcores));
        let workers = budgets.into_iter().map(|budget| {
            let reserve = binding.reserved.get(&budget.executor_id).copied().unwrap_or(0);
            (budget, reserve)
        });
        Self { workers: workers.collect(), held: binding.held, share: binding.share }
    }

    /// Whose turn it is, and how many slots there are.
    fn next(&self) -> Option<(String, u32)> {
        let extra =
            self.share.saturating_sub(self.held).div_ceil(u32::try_from(self.workers.len()).unwrap_or(1).max(1));
        let own = |(worker, reserve): &(&mut AvailableVcores, u32)| worker.vcores.saturating_sub(*reserve);
        let found = self.workers.iter().map(|worker| (worker, own(worker))).find(|(_, free)| *free > 0);
        let found = found.or_else(|| {
            self.workers.iter().map(|worker| (worker, worker.0.vcores.min(extra))).find(|(_, free)| *free > 0)
        });
        found.map(|((worker, _), free)| (worker.executor_id.clone(), free))
    }

    /// A task takes slots of this worker; the others are next.
    fn take(&mut self, id: &str, slots: u32) {
        let Some(at) = self.workers.iter().position(|(worker, _)| worker.executor_id == id) else { return };
        if let Some((worker, _)) = self.workers.get_mut(at) {
            worker.vcores = worker.vcores.saturating_sub(slots);
            self.held += slots;
        }
        self.workers.rotate_left(at + 1);
    }
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

    /// The next task for a worker with so many free slots, if partitions wait for one.
    fn task(
        self,
        stage: &mut RunningStage,
        (worker, free): (&str, u32),
        job: &JobId,
        session: &str,
    ) -> Option<TaskDescription> {
        let (slots, most) = match self {
            Self::Whole => (1, usize::MAX),
            Self::Parts { slots, each } => {
                let slots = slots.min(free as usize);
                (slots, slots.saturating_mul(each))
            }
        };
        let partitions = stage.pending.next_slice(most);
        if partitions.is_empty() {
            return None;
        }
        let vcores_consumed = u32::try_from(slots.min(partitions.len())).unwrap_or(free).min(free);
        // Tasks are numbered as they are given.
        let task_id = stage.task_infos.len();
        let failures = partitions.iter().filter_map(|partition| stage.task_failure_numbers.get(*partition));
        let task_attempt = failures.copied().max().unwrap_or(0);
        let mut info = create_task_info(worker.to_owned(), task_id);
        info.global_input_partition_ids.clone_from(&partitions);
        info.vcores_consumed = vcores_consumed;
        stage.task_infos.push(info);
        Some(TaskDescription {
            session_id: session.to_owned(),
            key: TaskKey { job_id: job.clone(), stage_id: stage.stage_id, task_id },
            stage_attempt_num: stage.stage_attempt_num,
            task_attempt,
            global_input_partition_ids: partitions,
            vcores_consumed,
            plan: Arc::clone(&stage.plan),
            session_config: Arc::clone(&stage.session_config),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a job takes of two workers of one slot each that have this much left with their reserve of three.
    fn taken(left: u32, held: u32, share: u32) -> Vec<String> {
        let mut workers = ["a", "b"].map(|id| AvailableVcores { executor_id: id.to_owned(), vcores: left });
        let binding = Binding {
            jobs: Arc::default(),
            slots: 2,
            reserved: HashMap::from([("a".to_owned(), 3), ("b".to_owned(), 3)]),
            held,
            share,
        };
        let mut free = Free::of(workers.iter_mut().collect(), &binding);
        let mut taken = Vec::new();
        while let Some((worker, slots)) = free.next() {
            free.take(&worker, slots);
            taken.extend((0..slots).map(|_| worker.clone()));
        }
        taken
    }

    #[test]
    fn a_job_alone_takes_all_slots_and_nothing_of_the_reserve() {
        assert_eq!(taken(4, 0, 2), ["a", "b"]);
        assert_eq!(taken(4, 0, 1), ["a", "b"], "what is free is not kept back");
    }

    #[test]
    fn a_job_beside_others_takes_its_share_of_the_reserve() {
        assert_eq!(taken(3, 0, 2), ["a", "b"], "each worker gets a part");
        assert_eq!(taken(3, 1, 2), ["a"]);
        assert_eq!(taken(3, 2, 2), [""; 0]);
        assert_eq!(taken(0, 0, 2), [""; 0], "the reserve is bounded too");
    }
}
