use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::scheduler::{ExecutorMetadata, ExecutorSpecification};
use ballista_scheduler::cluster::ClusterState;
use parking_lot::Mutex;
use tidemill_engine::ErrorKind;
use tidemill_engine::run::WorkerState;

use super::{Ends, Members, Width};
use crate::jobs::{Cause, Jobs};
use crate::join::Report;
use crate::watch::tests::{task_of, tasks};

const TIMEOUT: Duration = Duration::from_secs(20);

fn worker(id: &str, slots: u32) -> ExecutorMetadata {
    ExecutorMetadata {
        id: id.to_owned(),
        host: format!("{id}.example"),
        port: 50051,
        grpc_port: 50051,
        specification: ExecutorSpecification::default().with_vcores(slots),
        os_info: Default::default(),
    }
}

async fn members(workers: &[(&str, u32)], timeout: Duration) -> (Arc<Jobs>, Arc<Members>) {
    let jobs = Arc::new(Jobs::default());
    let members = Arc::new(Members::new(Arc::clone(&jobs), timeout));
    for (id, slots) in workers {
        members.join(worker(id, *slots), Report::of_this_build()).await.unwrap();
    }
    (jobs, members)
}

/// What was ended, and whether Ballista's accounts still had the worker then.
struct Ended(Arc<Members>, Mutex<Vec<(JobId, bool)>>);

#[async_trait]
impl Ends for Ended {
    async fn end(&self, job: JobId) {
        let known = self.0.get_executor_metadata("a").await.is_ok();
        self.1.lock().push((job, known));
    }
}

#[tokio::test]
async fn a_lost_worker_ends_its_jobs_before_the_scheduler_hears_of_the_loss() {
    let (jobs, members) = members(&[("a", 2), ("b", 2)], TIMEOUT).await;
    let ended = Arc::new(Ended(Arc::clone(&members), Mutex::default()));
    members.ended_by(&(Arc::clone(&ended) as Arc<dyn Ends>));
    let (on_a, on_b, computed) = (jobs.begin("q", tasks()), jobs.begin("r", tasks()), jobs.begin("s", tasks()));
    jobs.bound("a", &task_of(&on_a, 0, &[0]));
    jobs.bound("b", &task_of(&on_a, 1, &[1]));
    jobs.bound("b", &task_of(&on_b, 0, &[0]));
    jobs.bound("a", &task_of(&computed, 0, &[0]));
    computed.end();

    members.remove_executor("a").await.unwrap();

    assert_eq!(*ended.1.lock(), [(on_a.id.clone(), true)]);
    assert_eq!(on_a.cause(), Some(Cause::Lost("a.example:50051".to_owned())));
    assert_eq!(on_b.cause(), None);
    assert!(members.get_executor_metadata("a").await.is_err());
    assert!(!members.heard("a", Report::of_this_build()), "who was lost must join again");
}

#[tokio::test]
async fn draining_and_lost_workers_have_no_slots() {
    let (_, members) = members(&[("a", 2), ("b", 3), ("c", 4)], TIMEOUT).await;
    assert_eq!(members.width(), Width { slots: 9, workers: 3 });
    members.drain("a").unwrap();
    assert_eq!((members.slots(), members.width()), (7, Width { slots: 7, workers: 2 }));
    members.remove_executor("b").await.unwrap();
    members.heard("c", Report { draining: true, ..Report::of_this_build() });
    assert_eq!((members.slots(), members.width()), (0, Width { slots: 0, workers: 0 }));
    let states: Vec<_> = members.infos().iter().map(|worker| worker.state).collect();
    assert_eq!(states, [WorkerState::Draining, WorkerState::Lost, WorkerState::Draining]);
    assert_eq!(members.drain("nobody").unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_suspected_worker_gets_tasks_only_if_there_is_nobody_else() {
    let (_, members) = members(&[("a", 2), ("b", 3)], TIMEOUT).await;
    members.suspect("a");
    assert_eq!(members.width(), Width { slots: 3, workers: 1 });
    members.suspect("b");
    assert_eq!(members.width(), Width { slots: 5, workers: 2 });
    assert_eq!(members.slots(), 5, "both are there");
}

#[tokio::test]
async fn freed_slots_are_never_more_than_were_occupied() {
    let (jobs, members) = members(&[("a", 2)], TIMEOUT).await;
    let job = jobs.begin("q", tasks());
    members.note(&[("a".to_owned(), task_of(&job, 0, &[0]))]);
    assert_eq!(members.infos()[0].slots_free, 1);
    for _ in 0..2 {
        members.unbind_tasks(vec![("a".to_owned(), 2)]).await.unwrap();
        assert_eq!(members.infos()[0].slots_free, 2);
    }
}

#[tokio::test]
async fn slots_that_no_task_explains_come_back_at_the_second_look() {
    let (jobs, members) = members(&[("a", 2)], TIMEOUT).await;
    let job = jobs.begin("q", tasks());
    members.note(&[("a".to_owned(), task_of(&job, 0, &[0]))]);
    members.audit(&Default::default()).await;
    assert_eq!(members.infos()[0].slots_free, 1);
    members.audit(&Default::default()).await;
    assert_eq!(members.infos()[0].slots_free, 2);
}

#[tokio::test]
async fn who_is_silent_is_told_by_the_timeout() {
    let (_, long) = members(&[("a", 1)], TIMEOUT).await;
    assert!(long.silent().is_empty());
    let (_, short) = members(&[("a", 1)], Duration::ZERO).await;
    assert_eq!(short.silent(), ["a"]);
    short.remove_executor("a").await.unwrap();
    assert!(short.silent().is_empty());
}

#[tokio::test]
async fn a_query_waits_for_the_first_worker() {
    let (_, members) = members(&[], TIMEOUT).await;
    assert!(!members.some(Duration::ZERO).await);
    let waiting = tokio::spawn({
        let members = Arc::clone(&members);
        async move { members.some(TIMEOUT).await }
    });
    members.join(worker("a", 1), Report::of_this_build()).await.unwrap();
    assert!(waiting.await.unwrap());
}
