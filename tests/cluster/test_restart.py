"""The coordinator ends and comes back: what was known is known, what ran is told, workers return by themselves."""

import contextlib
import sqlite3

import pytest

from cluster import ENDED
from server import wait_until
from work import ENDLESS


def states(cluster, *ids):
    return [cluster.coordinator.status(query_id)["state"] for query_id in ids]


@pytest.mark.parametrize("how", ["kill", pytest.param("terminate", marks=pytest.mark.soak)])
def test_a_coordinator_comes_back(cluster, deep, how):
    made = cluster("--set", "server.drain_timeout=1s", workers=2)
    expected = made.local(deep)
    finished = made.coordinator.submit(deep, session={"runner": "cluster"})["id"]
    assert made.coordinator.wait_for_state(finished, *ENDED, seconds=60)["state"] == "finished"
    ran = made.record(finished)
    running = made.coordinator.submit(deep, session={"runner": "cluster"})["id"]
    wait_until(lambda: [task for task in made.record(running)["tasks"] if task["state"] == "running"], 30, "a task that runs")
    # Its row is stored behind the rows of those that began before.
    assert made.rows("SELECT 1", runner="local") == [(1,)]
    getattr(made.coordinator, how)()
    made.restart_coordinator()
    made.wait_for_return(*made.workers, seconds=60)
    # History and results are those from before.
    assert states(made, finished) == ["finished"]
    assert [stage["stage_id"] for stage in made.record(finished)["stages"]] == [stage["stage_id"] for stage in ran["stages"]]
    result = made.coordinator.http.get(made.coordinator.url(f"/v1/queries/{finished}/result"), headers={"Accept": "application/json"})
    assert [tuple(row) for row in result.json()["rows"]] == expected
    # What ran has failed for a reason that another try does away with, or is run again.
    again = made.coordinator.wait_for_state(running, *ENDED, seconds=60)
    if again["state"] == "finished":
        assert again["result"]["rows"] == len(expected)
    else:
        assert again["state"] in ("failed", "cancelled") and (how == "terminate" or again["error"]["retryable"]), again
    # The old coordinator's tasks are in nobody's way, nor are their files.
    assert made.rows(deep) == expected
    made.at_rest()


def test_what_a_killed_coordinator_was_doing(cluster):
    made = cluster(workers=1)
    query_id = made.coordinator.submit(ENDLESS, session={"runner": "cluster"})["id"]

    def stored():
        with contextlib.closing(sqlite3.connect(made.folder / "coordinator" / "history.sqlite")) as history:
            return [row for row in history.execute("SELECT stages FROM query WHERE state = 'running'") if '"running"' in row[0]]

    wait_until(stored, 30, "a record of how far it is")
    made.coordinator.kill()
    made.restart_coordinator()
    status = made.coordinator.status(query_id)
    assert status["state"] == "failed" and status["error"]["retryable"] and status["error"]["hint"], status
    times = status["timings"]
    assert times["submitted_at"] <= times["started_at"] <= times["finished_at"] and times["elapsed_ms"] >= 1000
    assert made.table(f"SELECT * FROM system.tasks WHERE query_id = '{query_id}'"), "the tables know it too"
    record = made.record(query_id)
    assert record["tasks"] and {row["state"] for row in record["stages"] + record["tasks"]} <= {"finished", "cancelled"}


def test_workers_outlive_a_coordinator_that_is_away(cluster):
    made = cluster(workers=2)
    expected = made.local("SELECT sum(v) FROM facts")
    made.coordinator.kill()
    # They notice, and go on knocking.
    for worker in made.workers:
        wait_until(lambda worker=worker: "coordinator" in worker.log_text().lower(), 30, "a word about it in the log")
        assert worker.process.poll() is None
    made.restart_coordinator()
    made.wait_for_return(*made.workers, seconds=60)
    assert made.rows("SELECT sum(v) FROM facts") == expected


def test_a_coordinator_that_stops_lets_queries_end(cluster, deep):
    made = cluster(workers=2)
    expected = made.local(deep)
    query = made.ask(deep)
    query.wait_for_task(state="running")
    assert made.coordinator.terminate() == 0
    assert query.future.result(5).rows == expected
    for worker in made.workers:
        assert worker.process.poll() is None
        wait_until(lambda worker=worker: not worker.files(), 20, "an empty work directory")


def test_workers_stop_while_the_coordinator_is_away(cluster):
    made = cluster(workers=1)
    made.coordinator.kill()
    assert made.workers[0].terminate() == 0
