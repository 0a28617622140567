//! Workers, tasks, and the slots that the work asks for.

use tidemill_engine::run::{WorkerInfo, WorkerState};
use tidemill_engine::{Autoscale, EngineStatus};

use super::Page;

impl Page {
    pub(super) fn tasks(&mut self, status: &EngineStatus) {
        let name = "tidemill_tasks_total";
        self.head(name, "counter", "Tasks of queries that ended, by how the tasks did.");
        for (state, count) in ["finished", "failed", "cancelled"].into_iter().zip(status.tasks_ended) {
            self.sample(name, &format!("state=\"{state}\""), count);
        }
        let name = "tidemill_query_retries_total";
        self.head(name, "counter", "How often a whole query was begun anew.");
        self.sample(name, "", status.query_retries);
    }

    pub(super) fn cluster(&mut self, workers: &[WorkerInfo], demand: &Autoscale) {
        let name = "tidemill_workers";
        self.head(name, "gauge", "Processes that compute tasks, by state; without a cluster, the server itself.");
        for state in WorkerState::ALL {
            let count = workers.iter().filter(|worker| worker.state == state).count();
            self.sample(name, &format!("state=\"{}\"", state.name()), count);
        }
        let gauges: [(&str, &str, u64); 7] = [
            ("tidemill_slots", "Slots of the workers that take tasks.", demand.slots),
            ("tidemill_slots_free", "Slots of these without a task.", demand.slots_free),
            ("tidemill_desired_slots", "Slots that the work at hand asks for.", demand.desired_slots),
            ("tidemill_worker_queries_running", "Queries that the workers compute.", demand.queries_running),
            ("tidemill_worker_queries_queued", "Queries that wait to be computed there.", demand.queries_queued),
            ("tidemill_tasks_running", "Tasks that compute now.", demand.tasks_running),
            ("tidemill_tasks_pending", "Tasks that wait for a slot or for their inputs.", demand.tasks_pending),
        ];
        for (name, help, value) in gauges {
            self.head(name, "gauge", help);
            self.sample(name, "", value);
        }
        let name = "tidemill_backlog_seconds";
        self.head(name, "gauge", "The work that is left, in seconds of one slot.");
        self.sample(name, "", demand.backlog_seconds);
    }
}
