"""Workers that are there and do nothing: stopped by a signal, as a machine is that swaps or a container that is frozen."""

import pytest

from cluster import PATIENCE


def test_a_stopped_worker_is_replaced_by_the_others(cluster, deep):
    made = cluster(workers=2)
    expected = made.local(deep)
    query = made.ask(deep)
    stopped = made.worker(query.wait_for_task(state="running")["worker"])
    stopped.pause()
    assert query.outcome().rows == expected
    made.wait_for_workers(lost=[stopped], active=made.others(stopped))
    # It wakes up in the middle of a task that nobody waits for any more.
    stopped.resume()
    made.wait_for_return(stopped, seconds=PATIENCE)
    assert made.rows(deep) == expected
    made.at_rest()


@pytest.mark.soak
def test_a_worker_that_stops_before_the_query(cluster, deep):
    made = cluster(workers=2)
    expected = made.local(deep)
    made.workers[0].pause()
    assert made.ask(deep).outcome().rows == expected
    made.at_rest(made.workers[0])


@pytest.mark.soak
def test_a_worker_that_stops_between_success_and_fetch(cluster):
    """Its rows can not be had; whether some have left decides between another try and an error, in time."""
    made = cluster(workers=1)
    sql = "SELECT a.k, repeat(a.t, 20) AS pad FROM facts a JOIN facts b ON a.k % 8 = b.k % 8"
    response = made.coordinator.post({"sql": sql, "session": {"runner": "cluster"}}, "application/vnd.apache.arrow.stream", stream=True)
    made.workers[0].pause()
    status = made.coordinator.wait_for_state(response.headers["X-Query-Id"], "failed", seconds=PATIENCE)
    assert status["error"]["retryable"], status
    response.close()


@pytest.mark.soak
def test_all_workers_stop(cluster, deep):
    made = cluster(workers=2)
    query = made.ask(deep)
    query.wait_for_task(state="running")
    for worker in made.workers:
        worker.pause()
    query.outcome().clear_error("worker")
    made.at_rest(*made.workers)
