//! A query as server-sent events.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, stream};
use serde::Serialize;
use tidemill_engine::QueryInfo;
use tidemill_engine::query::{StageInfo, Stages, TaskInfo, TaskState};
use tokio::time::timeout;

use super::StatusDocument;
use crate::http::client::Client;
use crate::http::door::Door;

/// The time between two events while nothing but progress changes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Whoever watches a query.
struct Watch {
    door: Door,
    client: Client,
    /// What was told last; absent before the first event.
    told: Option<QueryInfo>,
    /// What to tell first.
    first: Option<QueryInfo>,
    /// What to tell next, before anything new.
    next: VecDeque<Event>,
    parts: Parts,
}

/// The states of stages and tasks, as they were told last.
#[derive(Default)]
struct Parts {
    stages: HashMap<(u32, u64), TaskState>,
    tasks: HashMap<(u32, u64, u64), TaskState>,
}

impl Parts {
    /// An event for each stage and each task that is in another state than was told.
    fn changes(&mut self, now: &Stages) -> Vec<Event> {
        let key = |stage: &StageInfo| (stage.attempt, stage.stage_id);
        let changed = |stage: &&StageInfo| self.stages.get(&key(stage)) != Some(&stage.state);
        let stages = now.stages.iter().filter(changed).filter_map(|stage| event("stage", stage));
        let mut events: Vec<Event> = stages.collect();
        let task_key = |task: &TaskInfo| (task.attempt, task.stage_id, task.partition);
        let changed = |task: &&TaskInfo| self.tasks.get(&task_key(task)) != Some(&task.state);
        events.extend(now.tasks.iter().filter(changed).filter_map(|task| event("task", task)));
        // Tasks that the query forgot are forgotten here too.
        self.stages = now.stages.iter().map(|stage| (key(stage), stage.state)).collect();
        self.tasks = now.tasks.iter().map(|task| (task_key(task), task.state)).collect();
        events
    }
}

fn event(name: &str, data: impl Serialize) -> Option<Event> {
    // Plain data, which always can be written as JSON.
    Event::default().event(name).json_data(data).ok()
}

/// A stream of events: `progress` until the query ends, each with what changed of stages and tasks; then the rest of that, and
/// `end`. It breaks off when the server stops.
pub(super) fn stream(door: Door, client: Client, info: QueryInfo) -> Response {
    let (next, parts) = (VecDeque::new(), Parts::default());
    let watch = Watch { door, client, told: None, first: Some(info), next, parts };
    Sse::new(stream::unfold(watch, Watch::next)).keep_alive(KeepAlive::default()).into_response()
}

impl Watch {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.next.is_empty() {
            self.look().await?;
        }
        let event = self.next.pop_front()?;
        Some((Ok(event), self))
    }

    /// Finds what there is to tell.
    async fn look(&mut self) -> Option<()> {
        let info = match self.first.take() {
            Some(info) => info,
            None => self.changed().await?,
        };
        let stages = self.door.engine.queries().stages(&self.client.principal, info.id).await;
        let changes = stages.map(|stages| self.parts.changes(&stages)).unwrap_or_default();
        self.told = Some(info.clone());
        // What has ended is told of last, because nothing comes after it.
        if info.state.is_final() {
            self.next.extend(changes);
            self.next.extend(event("end", StatusDocument::new(&self.door, info)));
        } else {
            self.next.extend(event("progress", StatusDocument::new(&self.door, info)));
            self.next.extend(changes);
        }
        Some(())
    }

    /// The query after its state changed or a moment passed; `None` when there is nothing more to tell.
    async fn changed(&self) -> Option<QueryInfo> {
        let told = self.told.as_ref().filter(|told| !told.state.is_final())?;
        let queries = self.door.engine.queries();
        if let Some(handle) = queries.living(&self.client.principal, told.id) {
            // Progress is told also when the state stays.
            let moment = timeout(INTERVAL, handle.changed(told.state)).map(drop);
            self.client.draining.run_until_cancelled(moment).await?;
        }
        queries.get(&self.client.principal, told.id).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_of(stages: &[TaskState], tasks: &[TaskState]) -> Stages {
        let stage =
            |(stage_id, state): (u64, &TaskState)| StageInfo { stage_id, state: *state, ..StageInfo::default() };
        let task = |(partition, state): (u64, &TaskState)| TaskInfo { partition, state: *state, ..TaskInfo::default() };
        let (stages, tasks) = ((0..).zip(stages).map(stage).collect(), (0..).zip(tasks).map(task).collect());
        Stages { stages, tasks, ..Stages::default() }
    }

    #[test]
    fn only_what_changed_is_told() {
        use TaskState::{Finished, Pending, Running};
        let mut parts = Parts::default();
        assert_eq!(parts.changes(&state_of(&[Running, Pending], &[Running, Pending])).len(), 4);
        assert_eq!(parts.changes(&state_of(&[Running, Pending], &[Running, Pending])).len(), 0);
        assert_eq!(parts.changes(&state_of(&[Running, Pending], &[Finished, Running])).len(), 2);
        assert_eq!(parts.changes(&state_of(&[Finished, Running], &[])).len(), 2);
        assert!(parts.tasks.is_empty(), "tasks that are forgotten take no room here");
    }
}
