"""Whatever ends a query, nothing of it stays on the disks, in the slots or in the memory of anybody."""

import pytest

from cluster import ENDED, Following, whole
from server import wait_until
from work import effort

# Rows enough that the result does not fit between a worker's disk and a client that does not read.
WIDE = "SELECT a.k, b.k AS other, repeat(a.t, 20) AS pad FROM facts a JOIN facts b ON a.k % 8 = b.k % 8"
ROWS = 800 * 100


def files(cluster) -> int:
    return sum(len(worker.files()) for worker in cluster.workers)


def streaming(cluster, sql: str):
    """A client that has the head of the answer, and a query whose result lies on the workers."""
    response = cluster.coordinator.post({"sql": sql, "session": {"runner": "cluster"}}, "application/vnd.apache.arrow.stream", stream=True)
    assert response.status_code == 200, response.text
    wait_until(lambda: files(cluster), 30, "a result on the workers")
    return Following(cluster, response.headers["X-Query-Id"]), response


def test_a_result_that_was_read(steady):
    query, response = streaming(steady, WIDE)
    assert whole(response) == ROWS
    steady.coordinator.wait_for_state(query.id, "finished")
    steady.at_rest()


def test_a_result_that_nobody_reads(steady):
    query, response = streaming(steady, WIDE)
    response.close()
    steady.coordinator.wait_for_state(query.id, "cancelled")
    steady.at_rest()


@pytest.mark.soak
def test_a_result_whose_client_reads_some_and_leaves(steady):
    query, response = streaming(steady, WIDE)
    next(response.iter_content(1 << 16))
    response.close()
    steady.coordinator.wait_for_state(query.id, "cancelled")
    steady.at_rest()


@pytest.mark.parametrize("state", ["running", "finished"])
@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.soak), 1, pytest.param(2, marks=pytest.mark.soak)])
def test_a_query_that_is_cancelled_in_a_stage(steady, deep, number, state):
    query = steady.ask(deep)

    def met():
        stages = sorted(query.stages(), key=lambda stage: stage["stage_id"])
        return len(stages) > number and stages[number]["state"] == state

    query.wait_for(met, f"stage {number} {state}")
    query.cancel()
    assert not query.outcome().answered
    assert steady.coordinator.status(query.id)["state"] == "cancelled"
    assert all(task["state"] in ("finished", "cancelled") for task in query.tasks())
    steady.at_rest()


def test_a_query_that_meets_its_deadline(steady, deep):
    query = steady.ask(deep, statement_timeout="200ms")
    assert query.outcome(30).problem["code"] == "TIMEOUT"
    steady.at_rest()


def test_a_query_that_fails_late(steady):
    """The first stage has left its files when the second one divides by zero."""
    query = steady.ask("SELECT k % 40 AS g, sum(v / (n - 1)) FROM (SELECT k, max(v) AS v, count(*) AS n FROM facts GROUP BY k) GROUP BY k % 40")
    assert query.outcome().problem["code"] == "DIVISION_BY_ZERO"
    steady.at_rest()


def test_a_query_that_needs_a_few_rows(steady):
    for _ in range(3):
        assert len(steady.rows(f"{WIDE} LIMIT 10")) == 10
    steady.at_rest()


def test_a_row_limit_ends_the_rest(steady):
    response = steady.coordinator.post({"sql": WIDE, "session": {"runner": "cluster"}, "row_limit": 5})
    assert len(response.json()["rows"]) == 5
    steady.at_rest()


@pytest.mark.soak
def test_an_asynchronous_result_lies_with_the_coordinator(steady):
    query_id = steady.coordinator.submit(WIDE, session={"runner": "cluster"})["id"]
    done = steady.coordinator.wait_for_state(query_id, *ENDED, seconds=60)
    assert done["state"] == "finished" and done["result"]["rows"] == ROWS
    steady.at_rest()
    result = steady.coordinator.http.get(steady.coordinator.url(f"/v1/queries/{query_id}/result"), headers={"Accept": "application/vnd.apache.arrow.stream"})
    assert whole(result) == ROWS


@pytest.mark.soak
def test_many_that_come_and_go(steady):
    """Some read, some leave, some are cancelled, all at once."""
    light = f"SELECT k % 7 AS g, sum({effort(2)}) AS s FROM facts GROUP BY k % 7 ORDER BY g"
    expected = steady.local(light)
    reading = [steady.ask(light) for _ in range(8)]
    leaving = [steady.ask(WIDE) for _ in range(4)]
    for query in leaving:
        wait_until(lambda query=query: steady.coordinator.http.delete(steady.coordinator.url(f"/v1/queries/{query.id}")).status_code != 404, 30, "the query")
    for query in reading:
        assert query.outcome(120).rows == expected
    for query in leaving:
        query.outcome(120)
    steady.at_rest()
