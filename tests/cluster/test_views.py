"""What is running, where, and how far: tables, routes, events, metrics, plans, and the signal to scale."""

import json

from cluster import Following
from server import wait_until
from work import ENDLESS


def test_stages_and_tasks_while_they_run(steady, deep):
    query = steady.ask(deep)
    task = query.wait_for_task(state="running")
    assert task["worker"] in {worker.id for worker in steady.workers} and task["started_at"] and not task["ended_at"]
    rows = steady.table(f"SELECT * FROM system.tasks WHERE query_id = '{query.id}'")
    assert {row["worker"] for row in rows if row["state"] == "running"} <= {worker.id for worker in steady.workers} and rows
    busy = [row for row in steady.known_workers().values() if row["slots_free"] < row["slots"]]
    assert busy
    assert query.outcome().answered


def test_how_far_tasks_are_is_told_while_they_run(steady):
    query = steady.ask(ENDLESS)
    query.wait_for(lambda: [task for task in query.tasks(state="running") if task["rows_read"] > 0], "a task that has read rows")
    query.wait_for(lambda: all(row["tasks_running"] == 1 for row in steady.known_workers().values()), "workers that say what they do")
    # The last stage waits for these tasks, and is shown.
    states = {stage["stage_id"]: stage["state"] for stage in query.stages()}
    assert states[max(states)] == "pending", states
    query.cancel()
    query.outcome()
    steady.at_rest()


def test_tasks_of_a_lost_worker_say_so(cluster, deep):
    made = cluster(workers=2)
    query = made.ask(deep)
    lost = made.worker(query.wait_for_task(state="running")["worker"])
    lost.kill()
    assert query.outcome().answered
    failed = query.tasks(worker=lost.id, state="failed")
    assert failed and all(f"the worker at {lost.address} was lost" in task["error"] for task in failed), query.tasks(worker=lost.id)


def test_memory_of_workers_is_told(steady):
    query = steady.ask("SELECT t, count(*) AS n FROM facts GROUP BY t ORDER BY t")
    assert query.outcome().answered
    assert steady.coordinator.status(query.id)["progress"]["memory_peak_bytes"] > 0


def test_stages_and_tasks_in_history(steady, deep):
    query = steady.ask(deep)
    assert query.outcome().answered
    record = query.record()
    assert len(record["stages"]) >= 3 and record["retries"] == []
    for stage in record["stages"]:
        tasks = [task for task in record["tasks"] if task["stage_id"] == stage["stage_id"]]
        assert stage["state"] == "finished" and len(tasks) == stage["partitions"] == stage["tasks_done"]
        assert stage["rows"] == sum(task["rows"] for task in tasks) and stage["plan"]
        assert all(task["started_at"] <= task["ended_at"] and task["state"] == "finished" for task in tasks)
    assert {task["worker"] for task in record["tasks"]} == {worker.id for worker in steady.workers}
    # The first stage reads the 800 rows of the table, and each of the others the groups of the one before.
    assert record["stages"][0]["rows_read"] == 800 and record["stages"][-1]["rows"] == 400
    counts = steady.table(f"SELECT count(*) AS n, sum(rows) AS r FROM system.stages WHERE query_id = '{query.id}'")
    assert counts[0]["n"] == len(record["stages"]) and int(counts[0]["r"]) == sum(stage["rows"] for stage in record["stages"])


def test_progress_is_that_of_the_stages(steady, deep):
    query = steady.ask(deep)
    query.wait_for_task(state="running")
    seen = []

    def half():
        progress = steady.coordinator.status(query.id)["progress"]
        seen.append(progress["fraction"] or 0)
        return progress["stages_done"] >= 1

    query.wait_for(half, "a stage that is done")
    assert query.outcome().answered
    assert seen == sorted(seen)
    assert steady.coordinator.status(query.id)["progress"]["fraction"] == 1


def test_events_tell_of_stages(steady, deep):
    query_id = steady.coordinator.submit(deep, session={"runner": "cluster"})["id"]
    kinds = set()
    url = steady.coordinator.url(f"/v1/queries/{query_id}")
    with steady.coordinator.http.get(url, headers={"Accept": "text/event-stream"}, stream=True, timeout=120) as events:
        for line in events.iter_lines(decode_unicode=True):
            if line.startswith("event:"):
                kinds.add(line.split(":", 1)[1].strip())
            if line.startswith("data:"):
                assert isinstance(json.loads(line[5:]), dict)
    assert {"stage", "task"} <= kinds, kinds


def test_metrics_tell_of_workers_and_tasks(steady):
    text = steady.coordinator.http.get(steady.coordinator.url("/metrics")).text
    for name in ["tidemill_workers", "tidemill_slots", "tidemill_tasks", "tidemill_desired_slots"]:
        assert name in text, name


def test_explain_shows_the_distributed_plan(steady, deep):
    query = {"sql": f"EXPLAIN {deep}", "session": {"runner": "cluster"}}
    plan = steady.coordinator.post(query, "text/plain").text
    assert plan.lower().count("stage") >= 3 and "facts" in plan
    local = steady.coordinator.post(query | {"session": {"runner": "local"}}, "text/plain").text
    assert "stage" not in local.lower()


def test_explain_analyze_gathers_the_metrics_of_workers(steady, deep):
    query = {"sql": f"EXPLAIN ANALYZE {deep}", "session": {"runner": "cluster"}}
    response = steady.coordinator.post(query, "text/plain")
    assert response.status_code == 200, response.text
    steady.assert_ran_on_workers(response.headers["X-Query-Id"])
    # The rows that the scans of all workers produced together.
    assert "output_rows=800" in response.text or "output_rows=400" in response.text
    steady.at_rest()


def test_what_stays_here_says_why(steady):
    assert steady.coordinator.post("CREATE TABLE IF NOT EXISTS here AS SELECT 1 AS x").status_code == 200
    session = {"runner": "auto", "cluster_threshold": "0"}
    for sql in ["SELECT * FROM system.queries", "SELECT count(*) FROM information_schema.tables"]:
        plan = steady.coordinator.post({"sql": f"EXPLAIN {sql}", "session": session}, "text/plain").text
        assert "runs locally" in plan, plan
        assert steady.ask(sql).outcome().answered
    recursive = "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r WHERE x < 3) SELECT x FROM r, facts"
    plan = steady.coordinator.post({"sql": f"EXPLAIN {recursive}", "session": session}, "text/plain").text
    assert "runs locally" in plan and "recursive" in plan, plan
    refused = steady.ask(recursive).outcome()
    assert not refused.answered and refused.problem["code"] == "UNSUPPORTED" and "recursive" in refused.problem["detail"], refused
    small = steady.coordinator.post({"sql": "EXPLAIN SELECT * FROM facts", "session": {"runner": "auto"}}, "text/plain").text
    assert "runs locally" in small and "cluster_threshold" in small


def test_what_can_not_run_is_not_said_to_run_here(steady):
    recursive = "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r WHERE x < 3) SELECT x FROM r, facts"
    ask = lambda sql: steady.coordinator.post({"sql": sql, "session": {"runner": "cluster"}}, "text/plain")  # noqa: E731
    plan = ask(f"EXPLAIN {recursive}").text
    assert "does not run" in plan and "recursive" in plan and "runs locally" not in plan, plan
    # Measuring is running.
    analyzed = ask(f"EXPLAIN ANALYZE {recursive}")
    assert analyzed.status_code == 501 and "recursive" in analyzed.text, analyzed.text
    # What writes has no choice.
    written = ask("EXPLAIN CREATE TABLE made AS SELECT * FROM facts").text
    assert "runs locally: only what reads can run elsewhere" in written, written


def test_auto_sends_what_is_large(steady):
    query_id = steady.coordinator.post({"sql": "SELECT sum(v) FROM facts", "session": {"runner": "auto", "cluster_threshold": "1"}}).headers["X-Query-Id"]
    steady.assert_ran_on_workers(query_id)


def test_without_workers_auto_runs_here(cluster):
    made = cluster(workers=0)
    sql = "SELECT sum(v) FROM facts"
    assert made.rows(sql, runner="auto", cluster_threshold="1") == made.local(sql)
    refused = made.ask(sql).outcome()
    assert not refused.answered and "worker" in refused.problem["detail"]


def test_the_desired_number_of_slots_follows_the_work(cluster, deep):
    made = cluster("--set", "admission.max_running_in_cluster=1", workers=1)
    signal = lambda: made.coordinator.http.get(made.coordinator.url("/v1/autoscale")).json()["desired_slots"]  # noqa: E731
    made.rows(deep)
    idle = signal()
    queries = [made.ask(deep) for _ in range(8)]
    wait_until(lambda: signal() > idle, 60, "a wish for more slots")
    for query in queries:
        query.cancel() if not query.future.done() else None
    for query in queries:
        query.outcome()
    wait_until(lambda: signal() <= idle, 60, "no wish for more than before")


def test_a_query_that_waits_for_a_first_worker_asks_for_slots(cluster):
    made = cluster("--set", "cluster.worker_wait=20s", workers=0)
    query = made.ask("SELECT sum(v) FROM facts")
    look = lambda: made.coordinator.http.get(made.coordinator.url("/v1/autoscale")).json()  # noqa: E731
    asked = query.wait_for(lambda: (found := look())["desired_slots"] > 0 and found, "a wish for slots")
    assert asked["queries_queued"] == 1 and asked["slots"] == 0
    made.start_worker()
    assert query.outcome().rows == made.local("SELECT sum(v) FROM facts")
    assert look()["desired_slots"] == 0


def test_work_that_was_followed_is_the_same_by_every_view(steady, deep):
    query_id = steady.coordinator.submit(deep, session={"runner": "cluster"})["id"]
    query = Following(steady, query_id)
    steady.coordinator.wait_for_state(query_id, "finished", seconds=60)
    by_route = {(task["stage_id"], task["partition"], task["worker"]) for task in query.tasks()}
    by_table = steady.table(f"SELECT stage_id, partition, worker FROM system.tasks WHERE query_id = '{query_id}'")
    assert by_route == {(row["stage_id"], row["partition"], row["worker"]) for row in by_table} and by_route
