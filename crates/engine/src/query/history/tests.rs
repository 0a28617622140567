use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use chrono::TimeDelta;
use tempfile::TempDir;

use super::*;
use crate::query::{Progress, StageInfo, TaskInfo, TaskState, Timings};
use crate::units::{ByteSize, Span};

const ADMIN: fn() -> Principal = || Principal::new("root", Role::Admin);

fn config() -> HistoryConfig {
    HistoryConfig {
        memory_entries: 100,
        stored_entries: 1000,
        retention: Span(Duration::from_secs(7 * 86_400)),
        max_pending: 10_000,
        max_sql_bytes: ByteSize(64),
        max_tasks: 10,
    }
}

fn open(dir: &TempDir, config: &HistoryConfig) -> Result<History> {
    History::open(config, Arc::new(DataDir::claim(dir.path())?))
}

fn query(principal: &str) -> QueryInfo {
    QueryInfo {
        id: QueryId::new(),
        state: QueryState::Received,
        sql: "SELECT 1".into(),
        kind: None,
        principal: principal.into(),
        session_id: "s".into(),
        door: "http".into(),
        client: None,
        address: None,
        traceparent: None,
        tags: BTreeMap::new(),
        queue_position: None,
        timings: Timings {
            submitted_at: Utc::now(),
            started_at: None,
            finished_at: None,
            planning_ms: 0.5,
            queued_ms: 0.0,
            running_ms: 1.0,
            elapsed_ms: 1.5,
        },
        progress: Progress::default(),
        error: None,
        result: None,
        cache: None,
        runner_reason: None,
        runner: None,
    }
}

fn in_state(query: &QueryInfo, state: QueryState) -> QueryInfo {
    QueryInfo { state, ..query.clone() }
}

fn stages() -> Stages {
    let stage = StageInfo { stage_id: 1, attempt: 1, partitions: 2, plan: "of it".to_owned(), ..StageInfo::default() };
    let task = TaskInfo { stage_id: 1, attempt: 1, worker: "w".to_owned(), rows: 7, ..TaskInfo::default() };
    Stages { stages: vec![stage], tasks: vec![task], tasks_omitted: 1, retries: vec!["lost".to_owned()] }
}

fn profile(text: &str) -> Profile {
    Profile { plan: format!("plan {text}"), profile: format!("profile {text}") }
}

/// A query that arrived and finished.
fn run(history: &History, principal: &str) -> QueryId {
    let info = query(principal);
    history.started(&info);
    history.ended(in_state(&info, QueryState::Finished), profile("of it"), stages());
    info.id
}

fn ids(listed: &[QueryInfo]) -> Vec<QueryId> {
    listed.iter().map(|info| info.id).collect()
}

#[tokio::test]
async fn what_a_killed_server_was_doing_is_readable_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, &config()).unwrap();
    let finished = run(&history, "ann");
    let running = query("ann");
    history.started(&running);
    history.flush().await;

    // What a kill leaves behind: the files as they are, without a clean end.
    let copy = tempfile::tempdir().unwrap();
    for name in ["history.sqlite", "history.sqlite-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let reopened = open(&copy, &config()).unwrap();
    assert_eq!(reopened.get(finished).await.unwrap().unwrap().state, QueryState::Finished);
    assert_eq!(reopened.profile(finished).await.unwrap().unwrap(), profile("of it"));
    assert_eq!(reopened.stages(finished).await.unwrap().unwrap().as_ref(), &stages());
    let interrupted = reopened.get(running.id).await.unwrap().unwrap();
    assert_eq!(interrupted.state, QueryState::Failed);
    let error = interrupted.error.unwrap();
    assert!(error.retryable && error.message.contains("stopped"), "{error:?}");
    assert!(interrupted.timings.finished_at.is_some());

    // In the running server the same query is not history yet.
    assert!(history.get(running.id).await.unwrap().is_none());
    assert_eq!(ids(&history.list(&ADMIN(), &HistoryFilter::newest(10)).await.unwrap()), [finished]);
}

#[tokio::test]
async fn how_far_a_query_was_outlives_the_server_and_is_not_taken_for_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, &config()).unwrap();
    let (running, ended) = (query("ann"), run(&history, "ann"));
    history.started(&running);
    let mut info = QueryInfo { state: QueryState::Running, ..running.clone() };
    info.timings.elapsed_ms = 5000.0;
    let mut computes = stages();
    computes.stages[0].state = TaskState::Running;
    history.runs(info.clone(), profile("so far"), computes);
    // It comes too late.
    history.runs(QueryInfo { id: ended, ..info }, profile("late"), stages());
    history.flush().await;
    drop(history);
    let history = open(&dir, &config()).unwrap();
    let interrupted = history.get(running.id).await.unwrap().unwrap();
    assert_eq!(interrupted.timings.finished_at, Some(running.timings.submitted_at + TimeDelta::seconds(5)));
    assert_eq!(history.profile(running.id).await.unwrap().unwrap(), profile("so far"));
    assert_eq!(history.stages(running.id).await.unwrap().unwrap().stages[0].state, TaskState::Cancelled);
    assert_eq!(history.get(ended).await.unwrap().unwrap().state, QueryState::Finished);
}

#[tokio::test]
async fn a_clean_stop_stores_what_is_pending() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, &config()).unwrap();
    let id = run(&history, "ann");
    drop(history);
    let history = open(&dir, &config()).unwrap();
    assert_eq!(history.get(id).await.unwrap().unwrap().sql, "SELECT 1");
}

#[tokio::test]
async fn ring_and_store_are_one_list_without_duplicates() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, &HistoryConfig { memory_entries: 3, ..config() }).unwrap();
    let mut all: Vec<QueryId> = (0..8).map(|_| run(&history, "ann")).collect();
    all.reverse();
    history.flush().await;

    assert_eq!(ids(&history.list(&ADMIN(), &HistoryFilter::newest(100)).await.unwrap()), all);
    let mut paged = Vec::new();
    let mut filter = HistoryFilter::newest(3);
    loop {
        let page = ids(&history.list(&ADMIN(), &filter).await.unwrap());
        let Some(last) = page.last() else { break };
        filter.before = Some(*last);
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert!(history.profile(all[7]).await.unwrap().is_some(), "only the store still has the oldest");
}

#[tokio::test]
async fn filters_hold_in_memory_and_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let stored_only = HistoryConfig { memory_entries: 0, ..config() };
    let memory_only = HistoryConfig { stored_entries: 0, ..config() };
    for config in [stored_only, memory_only] {
        let history = open(&dir, &config).unwrap();
        let ann = run(&history, "ann");
        let bob = query("bob");
        history.ended(in_state(&bob, QueryState::Failed), Profile::default(), Stages::default());
        let mut old = query("ann");
        old.timings.submitted_at -= TimeDelta::hours(2);
        history.ended(in_state(&old, QueryState::Cancelled), Profile::default(), Stages::default());
        history.flush().await;

        let newest = HistoryFilter::newest(10);
        let list = async |filter: HistoryFilter| ids(&history.list(&ADMIN(), &filter).await.unwrap());
        let states = vec![QueryState::Failed, QueryState::Finished];
        assert_eq!(list(HistoryFilter { states, ..newest.clone() }).await, [bob.id, ann]);
        assert_eq!(list(HistoryFilter { states: vec![QueryState::Running], ..newest.clone() }).await, []);
        assert_eq!(list(HistoryFilter { principal: Some("ann".into()), ..newest.clone() }).await, [old.id, ann]);
        let since = Some(Utc::now() - TimeDelta::hours(1));
        assert_eq!(list(HistoryFilter { since, ..newest.clone() }).await, [bob.id, ann]);
        assert_eq!(list(HistoryFilter { before: Some(bob.id), ..newest.clone() }).await, [ann]);

        let reader = Principal::new("bob", Role::Reader);
        assert_eq!(ids(&history.list(&reader, &newest).await.unwrap()), [bob.id]);
        let of_ann = HistoryFilter { principal: Some("ann".into()), ..newest };
        assert!(history.list(&reader, &of_ann).await.unwrap().is_empty(), "others' queries are not listed");
    }
}

#[tokio::test]
async fn retention_bounds_age_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let config = HistoryConfig { memory_entries: 0, stored_entries: 5, ..config() };
    let history = open(&dir, &config).unwrap();
    let mut old = query("ann");
    old.timings.submitted_at -= TimeDelta::days(8);
    let young: Vec<QueryId> = (0..3).map(|_| run(&history, "ann")).collect();
    history.ended(in_state(&old, QueryState::Finished), Profile::default(), Stages::default());
    history.sweep(Utc::now());
    history.flush().await;
    assert!(history.get(old.id).await.unwrap().is_none());
    assert!(history.get(young[0]).await.unwrap().is_some());

    let more: Vec<QueryId> = (0..4).map(|_| run(&history, "ann")).collect();
    drop(history);
    // The count is enforced at the start, too.
    let history = open(&dir, &config).unwrap();
    history.flush().await;
    let left = ids(&history.list(&ADMIN(), &HistoryFilter::newest(100)).await.unwrap());
    assert_eq!(left, [more[3], more[2], more[1], more[0], young[2]]);
}

#[tokio::test]
async fn a_full_channel_drops_rows_and_leaves_no_ghost() {
    let dir = tempfile::tempdir().unwrap();
    let config = HistoryConfig { max_pending: 1, memory_entries: 0, ..config() };
    let history = open(&dir, &config).unwrap();
    let all: Vec<QueryId> = (0..2000).map(|_| run(&history, "ann")).collect();
    history.flush().await;
    let listed = history.list(&ADMIN(), &HistoryFilter::newest(5000)).await.unwrap();
    assert!(history.dropped() >= (all.len() - listed.len()) as u64);
    drop(history);
    let history = open(&dir, &config).unwrap();
    let failed = HistoryFilter { states: vec![QueryState::Failed], ..HistoryFilter::newest(5000) };
    assert_eq!(ids(&history.list(&ADMIN(), &failed).await.unwrap()), [], "a lost end is not an interrupted query");
}

#[tokio::test]
async fn long_texts_are_cut_at_a_character() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, &config()).unwrap();
    let info = QueryInfo { sql: format!("SELECT '{}'", "ü".repeat(100)), ..query("ann") };
    history.started(&info);
    history.ended(in_state(&info, QueryState::Finished), profile(&"x".repeat(MAX_PROFILE_BYTES)), Stages::default());
    let kept = history.get(info.id).await.unwrap().unwrap().sql;
    assert!(kept.len() <= 64 && kept.len() > 60, "{}", kept.len());
    assert!(kept.starts_with("SELECT 'üü") && kept.ends_with("ü…"), "{kept}");
    assert!(history.profile(info.id).await.unwrap().unwrap().plan.len() <= MAX_PROFILE_BYTES);
    let mut again = kept.clone();
    cut_in_place(&mut again, 64);
    assert_eq!(again, kept, "a cut text is not cut again");
}

#[tokio::test]
async fn nothing_is_stored_when_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, &HistoryConfig { stored_entries: 0, ..config() }).unwrap();
    let id = run(&history, "ann");
    history.flush().await;
    assert!(history.get(id).await.unwrap().is_some());
    assert!(!dir.path().join("history.sqlite").exists());
}

#[tokio::test]
async fn a_corrupt_database_is_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.sqlite");
    for number in 1..=2 {
        fs::write(&path, "no database at all. ".repeat(100)).unwrap();
        let history = open(&dir, &config()).unwrap();
        let id = run(&history, "ann");
        history.flush().await;
        assert!(history.get(id).await.unwrap().is_some());
        assert!(dir.path().join(format!("history.sqlite.corrupt-{number}")).exists());
    }
}

#[tokio::test]
async fn a_database_of_the_first_version_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let history = open(&dir, &config()).unwrap();
    let (id, interrupted) = (run(&history, "ann"), query("ann"));
    history.started(&interrupted);
    drop(history);
    // What the first version knew.
    let path = dir.path().join("history.sqlite");
    let first = "ALTER TABLE query DROP COLUMN stages; PRAGMA user_version = 1;
                 UPDATE query SET info = json_remove(info, '$.runner_reason');";
    rusqlite::Connection::open(&path).unwrap().execute_batch(first).unwrap();

    let history = open(&dir, &config()).unwrap();
    assert_eq!(history.get(id).await.unwrap().unwrap().sql, "SELECT 1");
    assert_eq!(history.profile(id).await.unwrap().unwrap(), profile("of it"));
    assert_eq!(history.stages(id).await.unwrap().unwrap().as_ref(), &Stages::default());
    assert_eq!(history.get(interrupted.id).await.unwrap().unwrap().state, QueryState::Failed);
    let new = run(&history, "ann");
    drop(history);
    let history = open(&dir, &config()).unwrap();
    assert_eq!(history.stages(new).await.unwrap().unwrap().as_ref(), &stages());
    assert_eq!(ids(&history.list(&ADMIN(), &HistoryFilter::newest(10)).await.unwrap()), [new, interrupted.id, id]);
}

#[test]
fn a_database_of_a_newer_server_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir, &config()).unwrap());
    let path = dir.path().join("history.sqlite");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = open(&dir, &config()).unwrap_err();
    assert!(error.message().contains("version 99") && error.message().contains("history.sqlite"), "{error}");
    assert!(path.exists());
}

#[test]
fn only_the_owner_can_read_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let _history = open(&dir, &config()).unwrap();
    for name in ["history.sqlite", "history.sqlite-wal", "history.sqlite-shm"] {
        let mode = dir.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
