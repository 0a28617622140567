"""Long queries of the cluster leave room: for short ones, for more important ones, and for those that run here."""

import statistics

import pytest

from cluster import ENDED
from work import ENDLESS

SHORT = "SELECT count(*) FROM facts WHERE v > 500"


@pytest.mark.parametrize("runner", ["local", "cluster"])
def test_a_short_query_ends_before_a_long_one(steady, deep, runner):
    expected = steady.local(SHORT)
    long = steady.ask(deep)
    long.wait_for_task(state="running")
    short = steady.ask(SHORT, runner=runner)
    assert short.outcome().rows == expected
    assert not long.future.done(), "the long one was too short to tell"
    long.outcome()


def test_a_short_query_does_not_wait_for_tasks_that_have_all_slots(steady):
    expected = steady.local(SHORT)
    long = steady.ask(ENDLESS)
    long.wait_for(lambda: all(row["slots_free"] == 0 for row in steady.known_workers().values()), "all slots")
    for _ in range(3):
        assert steady.ask(SHORT).outcome().rows == expected
    assert len(long.tasks(state="running")) == len(steady.workers), "the slots were free before"
    long.cancel()
    long.outcome()
    steady.at_rest()


@pytest.mark.soak
def test_a_short_query_takes_at_most_three_times_as_long(steady):
    def latency() -> float:
        outcome = steady.ask(SHORT, runner="cluster").outcome()
        assert outcome.answered
        return outcome.seconds

    latency()
    idle = statistics.median(latency() for _ in range(20))
    long = steady.ask(ENDLESS)
    long.wait_for(lambda: all(row["slots_free"] == 0 for row in steady.known_workers().values()), "all slots")
    busy = [latency() for _ in range(20)]
    assert len(long.tasks(state="running")) == len(steady.workers), "the slots were free before"
    long.cancel()
    long.outcome()
    print(f"idle {idle * 1e3:.0f} ms, beside a long query {statistics.median(busy) * 1e3:.0f} ms")
    assert statistics.median(busy) <= 3 * idle


def test_cluster_queries_at_once_are_bounded(cluster, deep):
    made = cluster("--set", "admission.max_running_in_cluster=1", workers=2)
    expected = made.local(deep)
    queries = [made.ask(deep) for _ in range(3)]
    most = 0
    while not all(query.future.done() for query in queries):
        computing = [query for query in queries if query.tasks(state="running")]
        most = max(most, len(computing))
    assert most == 1
    for query in queries:
        assert query.outcome(3 * 60).rows == expected
    made.at_rest()


def test_who_waits_for_the_cluster_is_told_so(cluster):
    made = cluster("--set", "admission.max_running_in_cluster=1", "--set", "admission.queue_timeout=2s", workers=1)
    long = made.ask(ENDLESS)
    long.wait_for_task(state="running")
    waiting = made.ask(SHORT)
    waiting.wait_for_state("queued")
    waiting.wait_for(lambda: made.coordinator.status(waiting.id)["timings"]["queued_ms"] > 0, "time in the queue")
    problem = waiting.outcome().problem
    assert problem["status"] == 429 and "admission.max_running_in_cluster" in problem["detail"] and "local" in problem["hint"], problem
    long.cancel()
    long.outcome()


def test_one_pool_of_permits_for_both_runners(cluster, deep):
    made = cluster("--set", "admission.max_running=1", workers=2)
    first = made.ask(deep)
    first.wait_for_task(state="running")
    waiting = made.ask("SELECT count(*) FROM facts", runner="local")
    waiting.wait_for_state("queued")
    assert first.outcome().answered and waiting.outcome().answered


def test_the_more_important_one_goes_first(cluster, deep):
    made = cluster("--set", "admission.max_running_in_cluster=1", "--set", "admission.max_running=1", workers=2)
    running = made.ask(deep)
    running.wait_for_task(state="running")
    low = made.ask(deep, priority="low")
    low.wait_for_state("queued")
    high = made.ask(deep, priority="high")
    high.wait_for_state("queued")
    assert running.outcome(60).answered and high.outcome(120).answered
    assert made.coordinator.status(low.id)["state"] not in ENDED
    assert low.outcome(180).answered
