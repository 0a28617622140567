//! The slots of the workers, as the scheduler binds tasks to them, and what happens to jobs whose worker is lost.
//!
//! A job whose tasks take long would keep all others waiting for a slot. So each worker has more slots in Ballista's accounts
//! than it really has: a reserve, for jobs that have just begun and for jobs that have less than their share. The tasks of a
//! worker that has more than its slots share its threads.
//!
//! When a worker is lost, Ballista re-runs the stages that it took part in, and both of its planners do that wrongly: output that
//! was told already is counted twice, or the job waits for ever. So the jobs of a lost worker are ended before Ballista hears of
//! the loss, and the queries begin anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::error::Result;
use ballista_core::serde::protobuf::ExecutorHeartbeat;
use ballista_core::serde::scheduler::{ExecutorData, ExecutorMetadata};
use ballista_scheduler::cluster::{BoundTask, ClusterState, ClusterStateEventStream, DistributionPolicy, ExecutorSlot};
use ballista_scheduler::config::TaskDistributionPolicy;
use ballista_scheduler::state::task_manager::JobInfoCache;
use chrono::Utc;

use super::binding::Binding;
use super::{Gone, MAX_GONE, Member, Members, chosen};
use crate::config::RESERVE;
use crate::jobs::Job;
use crate::join::Report;

/// What a job may have computed for each slot of the cluster, and has still just begun.
const YOUTH: Duration = Duration::from_secs(1);

impl Members {
    /// A worker joins.
    ///
    /// # Errors
    /// Its id is taken.
    pub(crate) async fn join(&self, metadata: ExecutorMetadata, report: Report) -> Result<()> {
        let slots = metadata.specification.vcores;
        let with_reserve = slots.saturating_mul(1 + RESERVE);
        let data = ExecutorData {
            executor_id: metadata.id.clone(),
            total_vcores: with_reserve,
            available_vcores: with_reserve,
        };
        self.accounts.register_executor(metadata.clone(), data).await?;
        let now = Utc::now();
        let member = Member {
            metadata,
            report,
            gone: None,
            leaving: false,
            ordered_to_drain: false,
            suspected: None,
            bound: 0,
            unexplained: 0,
            joined_at: now,
            last_seen: now,
            heard: std::time::Instant::now(),
        };
        let mut workers = self.workers.lock();
        workers.insert(member.metadata.id.clone(), member);
        self.count(&workers);
        Ok(())
    }

    /// Takes a worker out; it gets no task from here on. Returns where it was, if it was in.
    fn take_out(&self, id: &str) -> Option<String> {
        let mut workers = self.workers.lock();
        let member = workers.get_mut(id).filter(|member| !member.is_gone())?;
        member.gone = Some(if member.leaving { Gone::Left } else { Gone::Lost });
        member.bound = 0;
        let address = member.address();
        while workers.values().filter(|member| member.is_gone()).count() > MAX_GONE {
            let gone = workers.iter().filter(|(_, member)| member.is_gone());
            let Some(oldest) = gone.min_by_key(|(_, member)| member.last_seen).map(|(id, _)| id.clone()) else { break };
            workers.remove(&oldest);
        }
        self.count(&workers);
        Some(address)
    }

    /// Gives back slots that no running task explains in two looks in a row: what Ballista's accounts lose, such as those of
    /// tasks whose stage was optimized away, would be missing for ever.
    pub(crate) async fn audit(&self, running: &HashMap<JobId, JobInfoCache>) {
        let _binding = self.binding.lock().await;
        let mut explained: HashMap<String, u32> = HashMap::new();
        for job in running.values() {
            let graph = job.execution_graph.read().await;
            for task in graph.running_tasks() {
                let slots = graph.task_vcores(task.stage_id, task.task_id).unwrap_or(0);
                *explained.entry(task.executor_id).or_default() += slots;
            }
        }
        let mut leaked: Vec<ExecutorSlot> = Vec::new();
        for (id, member) in self.workers.lock().iter_mut().filter(|(_, member)| !member.is_gone()) {
            let surplus = member.bound.saturating_sub(explained.get(id).copied().unwrap_or(0));
            let certain = surplus.min(std::mem::replace(&mut member.unexplained, surplus));
            if certain > 0 {
                tracing::warn!(worker = %id, slots = certain, "slots were occupied by no task and are free again");
                member.bound -= certain;
                member.unexplained -= certain;
                leaked.push((id.clone(), certain));
            }
        }
        // In memory, it does not fail.
        let _ = self.accounts.unbind_tasks(leaked).await;
    }

    /// The jobs in the order in which they get slots: who has fewest comes first, among equals who came first.
    fn in_turn(&self, active: &HashMap<JobId, JobInfoCache>) -> Vec<(Arc<Job>, JobInfoCache)> {
        let jobs = active.iter().filter_map(|(id, cache)| {
            let job = self.jobs.get(id.as_str()).filter(|job| job.wants_tasks())?;
            Some(((job.slots(), job.rank), (job, cache.clone())))
        });
        let mut jobs: Vec<_> = jobs.collect();
        jobs.sort_by_key(|(turn, _)| *turn);
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    /// How the next tasks of one among so many jobs are bound.
    fn binding(&self, job: &Job, jobs: usize) -> Binding {
        let slots = self.width().slots;
        let is_young = job.spent() < YOUTH.saturating_mul(u32::try_from(slots).unwrap_or(u32::MAX));
        let share = if is_young { slots } else { slots.div_ceil(jobs.max(1)) };
        let workers = self.workers.lock();
        let reserve = |member: &Member| member.metadata.specification.vcores.saturating_mul(RESERVE);
        Binding {
            jobs: Arc::clone(&self.jobs),
            slots,
            reserved: workers.iter().map(|(id, member)| (id.clone(), reserve(member))).collect(),
            held: u32::try_from(job.slots()).unwrap_or(u32::MAX),
            share: u32::try_from(share).unwrap_or(u32::MAX),
        }
    }

    /// Notes the tasks that were bound.
    pub(super) fn note(&self, tasks: &[BoundTask]) {
        let mut workers = self.workers.lock();
        for (worker, task) in tasks {
            if let Some(member) = workers.get_mut(worker) {
                member.bound += task.vcores_consumed;
            }
        }
        drop(workers);
        for (worker, task) in tasks {
            self.jobs.bound(worker, task);
        }
    }
}

#[async_trait]
impl ClusterState for Members {
    async fn bind_schedulable_tasks(
        &self,
        _distribution: TaskDistributionPolicy,
        active_jobs: Arc<HashMap<JobId, JobInfoCache>>,
        _executors: Option<HashSet<String>>,
    ) -> Result<Vec<BoundTask>> {
        let _binding = self.binding.lock().await;
        let chosen = chosen(&self.workers.lock());
        let mut bound = Vec::new();
        let jobs = self.in_turn(&active_jobs);
        for (job, cache) in &jobs {
            let one = Arc::new(HashMap::from([(job.id.clone(), cache.clone())]));
            let policy: Arc<dyn DistributionPolicy> = Arc::new(self.binding(job, jobs.len()));
            let policy = TaskDistributionPolicy::Custom(policy);
            let tasks = self.accounts.bind_schedulable_tasks(policy, one, Some(chosen.clone())).await?;
            self.note(&tasks);
            bound.extend(tasks);
        }
        Ok(bound)
    }

    async fn unbind_tasks(&self, slots: Vec<ExecutorSlot>) -> Result<()> {
        let mut freed = Vec::with_capacity(slots.len());
        {
            let mut workers = self.workers.lock();
            for (id, count) in slots {
                // Never more than are occupied: some failures are told twice.
                if let Some(member) = workers.get_mut(&id).filter(|member| !member.is_gone()) {
                    let count = count.min(member.bound);
                    member.bound -= count;
                    freed.push((id, count));
                }
            }
        }
        self.accounts.unbind_tasks(freed).await
    }

    async fn register_executor(&self, metadata: ExecutorMetadata, _data: ExecutorData) -> Result<()> {
        // Workers join through the coordinator's own service.
        let report = Report { slots: metadata.specification.vcores, ..Report::default() };
        self.join(metadata, report).await
    }

    async fn save_executor_metadata(&self, metadata: ExecutorMetadata) -> Result<()> {
        self.accounts.save_executor_metadata(metadata).await
    }

    async fn get_executor_metadata(&self, id: &str) -> Result<ExecutorMetadata> {
        self.accounts.get_executor_metadata(id).await
    }

    async fn registered_executor_metadata(&self) -> Vec<ExecutorMetadata> {
        self.accounts.registered_executor_metadata().await
    }

    async fn save_executor_heartbeat(&self, heartbeat: ExecutorHeartbeat) -> Result<()> {
        self.accounts.save_executor_heartbeat(heartbeat).await
    }

    /// Ballista tells the loss to its event loop when this returns; by then the end of the jobs is in the loop.
    async fn remove_executor(&self, id: &str) -> Result<()> {
        let address = {
            let _binding = self.binding.lock().await;
            self.take_out(id)
        };
        if let Some(address) = address {
            let ends = self.ends.lock().as_ref().and_then(std::sync::Weak::upgrade);
            for job in self.jobs.lost(id, &address) {
                tracing::warn!(worker = %address, job = %job.id, "the job ends because the worker is lost");
                if let Some(ends) = &ends {
                    ends.end(job.id.clone()).await;
                }
            }
        }
        self.accounts.remove_executor(id).await
    }

    fn executor_heartbeats(&self) -> HashMap<String, ExecutorHeartbeat> {
        self.accounts.executor_heartbeats()
    }

    fn get_executor_heartbeat(&self, id: &str) -> Option<ExecutorHeartbeat> {
        self.accounts.get_executor_heartbeat(id)
    }

    async fn cluster_state_events(&self) -> Result<ClusterStateEventStream> {
        self.accounts.cluster_state_events().await
    }
}
