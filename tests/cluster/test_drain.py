"""Workers that leave in good order: no task is lost, no new one begun, and what others still need stays until they have it."""

import pytest
import requests

from server import STOP_SECONDS


def drain(made, worker) -> requests.Response:
    return made.post(f"/v1/nodes/{worker.id}/drain")


WAYS = {
    "signal": lambda made, worker: worker.process.terminate(),
    "route": lambda made, worker: drain(made, worker).raise_for_status(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.soak, id="first"), pytest.param(2, id="third")])
def test_a_worker_leaves_during_a_stage(cluster, deep, way, number):
    made = cluster(workers=2)
    expected = made.local(deep)
    query = made.ask(deep)

    def running():
        stages = sorted(query.stages(), key=lambda stage: stage["stage_id"])
        tasks = query.tasks(state="running", stage_id=stages[number]["stage_id"]) if len(stages) > number else []
        return next((task["worker"] for task in tasks if task["worker"]), None)

    leaving = made.worker(query.wait_for(running, f"a running task of stage {number}"))
    kept = made.others(leaving)
    WAYS[way](made, leaving)
    made.wait_for_workers(draining=[leaving], active=kept)
    outcome = query.outcome()
    assert outcome.rows == expected
    # Nothing was begun anew: it finished what it had, and others read it.
    assert query.record()["retries"] == []
    assert query.tasks(worker=leaving.id, state="finished")
    assert leaving.process.wait(STOP_SECONDS) == 0
    assert not leaving.files()
    made.wait_for_workers(left=[leaving], active=kept)
    later = made.ask(deep)
    assert later.outcome().rows == expected
    assert {task["worker"] for task in later.tasks()} == {worker.id for worker in kept}
    made.at_rest(leaving)


def test_an_idle_worker_leaves_at_once(cluster):
    made = cluster(workers=1)
    (worker,) = made.workers
    assert drain(made, worker).ok
    assert worker.process.wait(STOP_SECONDS) == 0
    # It is not taken for one that was lost, and needs no other drain.
    assert made.known_workers()[worker.id]["state"] == "left"
    again = drain(made, worker)
    assert again.status_code == 404 and "has left" in again.json()["detail"]


def test_the_last_worker_finishes_what_it_began(cluster, deep):
    made = cluster(workers=1)
    expected = made.local(deep)
    query = made.ask(deep)
    query.wait_for_task(state="running")
    assert drain(made, made.workers[0]).ok
    outcome = query.outcome()
    # Later stages are tasks too, and there is nobody else: the whole query or a clear error.
    assert outcome.rows == expected if outcome.answered else outcome.clear_error("worker")
    assert made.workers[0].process.wait(STOP_SECONDS) == 0


def test_draining_bears_repetition_and_knows_whom(cluster, deep):
    made = cluster(workers=2)
    query = made.ask(deep)
    leaving = made.worker(query.wait_for_task(state="running")["worker"])
    assert drain(made, leaving).ok and drain(made, leaving).ok
    missing = made.post("/v1/nodes/nobody/drain")
    assert missing.status_code == 404 and "nobody" in missing.json()["detail"]
    assert query.outcome().answered


def test_a_drain_that_takes_too_long_ends(cluster, store):
    """A task that never ends does not keep the machine for ever."""
    made = cluster(workers=2, worker=("--set", "worker.drain_timeout=2s"))
    sql = f"SELECT count(*), sum(v) FROM '{store.url('facts/*.parquet')}'"
    expected = made.local(sql)
    with store.hold("part-5.parquet") as rule:
        query = made.ask(sql)
        rule.wait_until_met()
        leaving = made.worker(query.wait_for_task(state="running")["worker"])
        leaving.process.terminate()
        leaving.process.wait(STOP_SECONDS)
    assert query.outcome().rows == expected
