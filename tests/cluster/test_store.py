"""Object stores that fail under the workers: for good, for a moment, in the middle of an object, without an answer."""

import pytest

from cluster import PATIENCE

SUM = "SELECT count(*), sum(v), min(t) FROM remote"


@pytest.fixture
def remote(cluster, store):
    """A cluster with a table in the store, whose footers the coordinator knows already."""
    made = cluster(workers=2)
    created = made.coordinator.post(f"CREATE EXTERNAL TABLE remote STORED AS PARQUET LOCATION '{store.url('facts/')}'")
    assert created.status_code == 200, created.text
    made.expected = made.local(SUM)
    assert made.rows(SUM) == made.expected
    return made


@pytest.mark.parametrize("how", ["403", *(pytest.param(how, marks=pytest.mark.soak) for how in ["503", "reset", "cut"])])
def test_it_fails_for_good(remote, store, how):
    with store.fail("part-3.parquet", how) as rule:
        outcome = remote.ask(SUM).outcome()
        rule.wait_until_met()
    assert not outcome.answered
    assert outcome.problem["code"] == "STORAGE_ERROR", outcome.problem
    assert "part-3.parquet" in outcome.problem["detail"], outcome.problem
    remote.at_rest()
    # It is not the workers' fault.
    remote.wait_for_workers(active=remote.workers)
    assert remote.rows(SUM) == remote.expected


@pytest.mark.parametrize("how", ["503", pytest.param("reset", marks=pytest.mark.soak)])
def test_it_fails_for_a_moment(remote, store, how):
    rule = store.fail("part-3.parquet", how)
    query = remote.ask(SUM)
    rule.wait_until_met()
    rule.lift()
    assert query.outcome().rows == remote.expected
    remote.at_rest()


def test_a_store_that_does_not_answer_can_be_cancelled(remote, store):
    with store.hold("part-5.parquet") as rule:
        query = remote.ask(SUM)
        rule.wait_until_met()
        query.wait_for_task(state="running")
        query.cancel()
        assert not query.outcome(PATIENCE / 2).answered
        remote.at_rest()
    assert remote.coordinator.status(query.id)["state"] == "cancelled"


def test_a_store_that_does_not_answer_meets_the_deadline(remote, store):
    with store.hold("part-5.parquet") as rule:
        query = remote.ask(SUM, statement_timeout="3s")
        rule.wait_until_met()
        assert query.outcome(PATIENCE / 2).problem["code"] == "TIMEOUT"
        remote.at_rest()
    assert remote.rows(SUM) == remote.expected


@pytest.mark.parametrize("limit", ["3s", pytest.param("45s", marks=pytest.mark.soak, id="by default")])
def test_a_store_that_gives_nothing_is_given_up(cluster, store, limit):
    """In time, whatever its client would still try."""
    watched = ["--set", f"storage.stall_timeout={limit}"] if limit != "45s" else []
    made = cluster(*watched, workers=2, worker=watched)
    assert made.coordinator.post(f"CREATE EXTERNAL TABLE remote STORED AS PARQUET LOCATION '{store.url('facts/')}'").ok
    expected = made.local(SUM)
    with store.hold("part-5.parquet"):
        outcome = made.ask(SUM).outcome(PATIENCE)
        assert not outcome.answered and outcome.problem["code"] == "STORAGE_ERROR", outcome
        assert "part-5.parquet" in outcome.problem["detail"] and "storage.stall_timeout" in outcome.problem["detail"], outcome.problem
    made.at_rest()
    assert made.rows(SUM) == expected


@pytest.mark.soak
def test_the_store_hangs_and_a_worker_dies(remote, store):
    """A task that waits for the store is a task like another."""
    with store.hold("part-5.parquet") as rule:
        query = remote.ask(SUM)
        rule.wait_until_met()
        (task,) = [task for task in query.tasks(state="running")][:1]
        victim = remote.worker(task["worker"])
        victim.kill()
        query.wait_for(lambda: query.record()["retries"], "the second attempt")
    assert query.outcome().rows == remote.expected
    remote.at_rest(victim)
