"""Networks that let packets vanish: between the coordinator and a worker, between workers, between all of them."""

import pytest

from cluster import PATIENCE


def running_on(query, worker):
    return query.wait_for_task(state="running", worker=worker.id)


def test_a_worker_can_not_be_reached_by_anybody(apart, network, deep):
    expected = apart.local(deep)
    lost, kept = apart.workers
    query = apart.ask(deep)
    running_on(query, lost)
    network.isolate(network.hosts[0])
    assert query.outcome().rows == expected
    assert {task["worker"] for task in query.tasks(state="finished", attempt=2)} == {kept.id}
    apart.wait_for_workers(lost=[lost], active=[kept])
    # What it computed meanwhile is of no use when it is back; it takes part again by itself.
    network.rejoin(network.hosts[0])
    apart.wait_for_return(lost, seconds=PATIENCE)
    assert apart.rows(deep) == expected
    apart.at_rest()


@pytest.mark.soak
def test_a_worker_that_only_other_workers_reach(apart, network, deep):
    expected = apart.local(deep)
    lost = apart.workers[0]
    query = apart.ask(deep)
    running_on(query, lost)
    network.cut_off_coordinator(network.hosts[0])
    assert query.outcome().rows == expected
    apart.at_rest(lost)


@pytest.mark.soak
@pytest.mark.parametrize("when", ["before", "during"])
def test_workers_that_do_not_reach_each_other(apart, network, deep, when):
    """Both are alive for the coordinator: the query succeeds, or says within its patience which of them can not be read."""
    expected = apart.local(deep)
    one, other = apart.workers
    if when == "before":
        network.separate(*network.hosts)
    query = apart.ask(deep)
    if when == "during":
        running_on(query, one)
        network.separate(*network.hosts)
    outcome = query.outcome()
    if outcome.answered:
        assert outcome.rows == expected
    else:
        outcome.clear_error(one.id, other.id, one.address, other.address)
    apart.at_rest()
    network.rejoin(network.hosts[0])
    assert apart.rows(deep) == expected


@pytest.mark.soak
def test_no_worker_can_be_reached(apart, network, deep):
    query = apart.ask(deep)
    query.wait_for_task(state="running")
    for host in network.hosts:
        network.isolate(host)
    query.outcome().clear_error("worker")
    apart.at_rest(*apart.workers)


@pytest.mark.soak
def test_packets_vanish_for_a_moment_only(apart, network, deep):
    """A hiccup shorter than the time after which a worker is lost costs nothing but that time."""
    expected = apart.local(deep)
    query = apart.ask(deep)
    running_on(query, apart.workers[0])
    network.isolate(network.hosts[0])
    network.rejoin(network.hosts[0])
    assert query.outcome().rows == expected
    apart.wait_for_workers(active=apart.workers)
    apart.at_rest()
