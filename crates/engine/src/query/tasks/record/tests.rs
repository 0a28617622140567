use super::*;

const FIRST: u32 = 1;

fn stage(stage_id: u64, partitions: u64) -> StageInfo {
    StageInfo { stage_id, attempt: FIRST, partitions, state: TaskState::Running, ..StageInfo::default() }
}

fn task(stage_id: u64, partition: u64, state: TaskState, rows: u64) -> TaskInfo {
    TaskInfo { stage_id, partition, attempt: FIRST, state, rows, ..TaskInfo::default() }
}

#[test]
fn sums_of_a_stage_follow_its_tasks() {
    let tasks = Tasks::new(10);
    tasks.stage(stage(1, 2));
    tasks.task(task(1, 0, TaskState::Running, 3));
    tasks.task(task(1, 0, TaskState::Finished, 5));
    tasks.task(task(1, 1, TaskState::Running, 1));
    // What a report of the stage says of its sums does not matter.
    tasks.stage(StageInfo { rows: 99, tasks_done: 99, ..stage(1, 2) });
    let now = tasks.now();
    assert_eq!((now.stages[0].rows, now.stages[0].tasks_done), (6, 1));
    let states: Vec<TaskState> = now.tasks.iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Finished, TaskState::Running]);
    assert!(now.tasks[0].started_at.is_some() && now.tasks[0].ended_at.is_some() && now.tasks[1].ended_at.is_none());
}

#[test]
fn a_task_that_begins_anew_counts_for_its_last_run() {
    let tasks = Tasks::new(1);
    tasks.stage(stage(1, 2));
    tasks.task(task(1, 0, TaskState::Failed, 7));
    tasks.task(task(1, 0, TaskState::Running, 2));
    tasks.task(task(1, 1, TaskState::Finished, 4));
    let now = tasks.now();
    assert_eq!(now.tasks.len(), 1, "what runs again is not forgotten for what has ended");
    assert_eq!((now.tasks[0].partition, now.tasks[0].state), (0, TaskState::Running));
    assert_eq!((now.stages[0].rows, now.stages[0].tasks_done, now.tasks_omitted), (6, 1, 1));
}

#[test]
fn tasks_beyond_the_limit_are_counted_in_their_stage() {
    let tasks = Tasks::new(3);
    tasks.stage(stage(1, 100));
    for partition in 0..100 {
        tasks.task(task(1, partition, TaskState::Running, 0));
        tasks.task(task(1, partition, TaskState::Finished, 2));
    }
    let now = tasks.now();
    assert_eq!((now.tasks.len(), now.tasks_omitted), (3, 97));
    assert_eq!((now.stages[0].tasks_done, now.stages[0].rows), (100, 200));
    assert_eq!(now.tasks[2].partition, 99, "the last to end are those that are remembered");
}

#[test]
fn no_task_is_remembered_if_none_may_be() {
    let tasks = Tasks::new(0);
    tasks.stage(stage(1, 2));
    for partition in 0..2 {
        tasks.task(task(1, partition, TaskState::Running, 0));
        tasks.task(task(1, partition, TaskState::Finished, 1));
    }
    let now = tasks.now();
    assert_eq!((now.tasks.len(), now.tasks_omitted, now.stages[0].tasks_done), (0, 2, 2));
}

#[test]
fn a_new_attempt_cancels_the_one_before_and_makes_room() {
    let tasks = Tasks::new(2);
    tasks.stage(stage(1, 2));
    tasks.task(task(1, 0, TaskState::Running, 1));
    tasks.task(task(1, 1, TaskState::Pending, 0));
    tasks.retried("a worker was lost");
    assert_eq!(tasks.attempt(), 2);
    let now = tasks.now();
    assert!(now.tasks.iter().all(|task| task.state == TaskState::Cancelled && task.ended_at.is_some()));
    assert_eq!((now.stages[0].state, now.stages[0].tasks_done), (TaskState::Cancelled, 0));
    assert_eq!(now.retries, ["a worker was lost"]);
    // Tasks of the new attempt take the places of cancelled ones.
    tasks.stage(StageInfo { attempt: 2, ..stage(1, 2) });
    tasks.task(TaskInfo { attempt: 2, ..task(1, 0, TaskState::Running, 1) });
    let now = tasks.now();
    assert_eq!((now.tasks.len(), now.tasks[1].attempt, now.tasks[1].state), (2, 2, TaskState::Running));
    assert_eq!((now.progress().stages_total, now.progress().partitions_total), (1, 2), "only the last attempt counts");
}

#[test]
fn what_is_reported_after_the_end_comes_too_late() {
    let tasks = Tasks::new(2);
    tasks.stage(stage(1, 1));
    tasks.task(task(1, 0, TaskState::Running, 1));
    tasks.close(TaskState::Finished);
    let closed = tasks.now();
    assert_eq!((closed.stages[0].state, closed.stages[0].tasks_done), (TaskState::Finished, 1));
    tasks.task(task(1, 0, TaskState::Failed, 0));
    tasks.stage(stage(2, 5));
    assert_eq!(tasks.now(), closed);
}

#[test]
fn texts_stages_and_retries_are_bounded() {
    let tasks = Tasks::new(2);
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    for stage_id in 0..MAX_STAGES as u64 + 5 {
        tasks.stage(stage(stage_id, 1));
    }
    tasks.stage(StageInfo { plan: long.clone(), ..stage(0, 1) });
    tasks.task(TaskInfo { error: Some(long.clone()), ..task(0, 0, TaskState::Failed, 0) });
    for _ in 0..MAX_RETRIES + 5 {
        tasks.retried(long.clone());
    }
    let now = tasks.now();
    assert_eq!((now.stages.len(), now.retries.len()), (MAX_STAGES, MAX_RETRIES));
    let error = now.tasks[0].error.as_deref().unwrap_or_default();
    for text in [now.stages[0].plan.as_str(), error, now.retries[0].as_str()] {
        assert!(!text.is_empty() && text.len() <= MAX_TEXT_BYTES, "{}", text.len());
    }
}
