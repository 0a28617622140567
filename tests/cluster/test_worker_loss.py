"""Workers that are killed: before, during and after each stage, between success and fetch, one, two and all of them."""

import contextlib
import dataclasses

import pytest

from cluster import ENDED, Cluster, Following, Query, Worker, whole

STAGES = 3


@dataclasses.dataclass(frozen=True)
class Moment:
    """A point in the life of a query: when a task of its n-th stage runs, or when all of them have finished."""

    state: str
    number: int

    def __str__(self):
        return f"{self.state}-{self.number}"

    def meet(self, query: Query) -> str:
        """Waits for it; the id of a worker that has such a task."""

        def look():
            stages = [stage for stage in query.stages() if stage["attempt"] == 1]
            stages.sort(key=lambda stage: stage["stage_id"])
            if len(stages) <= self.number or stages[self.number]["state"] != self.state:
                return None
            tasks = query.tasks(attempt=1, stage_id=stages[self.number]["stage_id"], state=self.state)
            return next((task["worker"] for task in tasks if task["worker"]), None)

        return query.wait_for(look, f"stage {self.number} {self.state}")


# What comes after the third stage takes no time: see `test_a_worker_dies_at_the_very_end`.
MOMENTS = [Moment(state, number) for number in range(STAGES) for state in ("running", "finished")][:-1]
# What every run of the tests looks at; the rest takes long.
FEW = [Moment("finished", 0), Moment("running", 1)]
CASES = [pytest.param(moment, marks=() if moment in FEW else pytest.mark.soak) for moment in MOMENTS]


class Pair:
    """A cluster that always has two workers when a test begins."""

    def __init__(self, folder, config, deep: str):
        self.cluster = Cluster(folder, config)
        self.deep, self.started = deep, 0
        self.expected = self.cluster.local(deep)

    def two(self) -> Cluster:
        alive = [worker for worker in self.cluster.workers if worker.process.poll() is None]
        for worker in self.cluster.others(*alive):
            self.cluster.workers.remove(worker)
        for _ in range(2 - len(alive)):
            self.add()
        return self.cluster

    def add(self):
        self.started += 1
        self.cluster.start_worker(work_dir=self.cluster.folder / f"worker-{self.started}")

    def close(self):
        print(self.cluster.logs())
        self.cluster.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory, config, deep):
    with contextlib.closing(made := Pair(tmp_path_factory.mktemp("loss"), config, deep)):
        yield made


@pytest.mark.parametrize("moment", CASES, ids=str)
def test_a_worker_dies(pair, moment):
    cluster = pair.two()
    query = cluster.ask(pair.deep)
    victim = cluster.worker(moment.meet(query))
    victim.kill()
    outcome = query.outcome()
    assert outcome.rows == pair.expected, outcome
    retries = query.record()["retries"]
    assert len(retries) == 1 and (victim.id in retries[0] or victim.address in retries[0]), retries
    cluster.at_rest(victim)


def test_a_worker_dies_before_the_first_stage(pair):
    """Nobody has noticed yet: the first task for it can not be delivered."""
    cluster = pair.two()
    victim = cluster.workers[0]
    victim.kill()
    query = cluster.ask(pair.deep)
    assert query.outcome().rows == pair.expected
    assert not query.tasks(worker=victim.id, state="finished")
    cluster.at_rest(victim)


@pytest.mark.soak
def test_both_workers_die_and_another_comes(pair):
    cluster = pair.two()
    query = cluster.ask(pair.deep)
    query.wait_for_task(state="running")
    gone = list(cluster.workers)
    for worker in gone:
        worker.kill()
    outcome = query.outcome()
    assert outcome.answered or outcome.clear_error("worker"), outcome
    pair.add()
    assert cluster.rows(pair.deep) == pair.expected
    cluster.at_rest(*gone)


@pytest.mark.soak
def test_two_of_three_workers_die(cluster, deep):
    made = cluster(workers=3)
    expected = made.local(deep)
    query = made.ask(deep)
    query.wait_for_task(state="finished")
    gone = made.workers[:2]
    for worker in gone:
        worker.kill()
    assert query.outcome().rows == expected
    made.at_rest(*gone)


def test_all_workers_die_and_nobody_comes(cluster, deep):
    made = cluster(workers=2)
    query = made.ask(deep)
    query.wait_for_task(state="running")
    for worker in made.workers:
        worker.kill()
    query.outcome().clear_error("worker")
    made.at_rest(*made.workers)
    # What needs no worker is answered as before.
    assert made.rows("SELECT count(*) FROM facts", runner="local") == [(800,)]


@pytest.mark.soak
def test_without_retries_the_loss_is_told(cluster, deep):
    made = cluster("--set", "cluster.retries=0", workers=2)
    query = made.ask(deep)
    task = query.wait_for_task(state="running")
    victim = made.worker(task["worker"])
    victim.kill()
    query.outcome().clear_error(victim.id, victim.address)
    made.at_rest(victim)


@pytest.mark.soak
def test_an_asynchronous_query_is_begun_anew_too(cluster, deep):
    made = cluster(workers=2)
    expected = made.local(deep)
    query_id = made.coordinator.submit(deep, session={"runner": "cluster"})["id"]
    query = Following(made, query_id)
    victim = made.worker(query.wait_for_task(state="running")["worker"])
    victim.kill()
    assert made.coordinator.wait_for_state(query_id, *ENDED, seconds=60)["state"] == "finished"
    result = made.coordinator.http.get(made.coordinator.url(f"/v1/queries/{query_id}/result"), headers={"Accept": "application/json"})
    assert [tuple(row) for row in result.json()["rows"]] == expected


# More than clients, sockets and the coordinator hold on the way: it reads four files at once, each with up to 16 MiB under way.
WIDE = """SELECT a.k, b.k AS other, repeat(a.t, 80) AS pad FROM lake.public.facts a
          JOIN lake.public.facts b ON a.k % 8 = b.k % 8 WHERE a.v + b.v >= 0"""
WIDE_ROWS = 800 * 100


def unread(made: Cluster) -> tuple[Query, object]:
    """A query that has succeeded on the workers and whose client has read the first bytes of the result, no more."""
    body = {"sql": WIDE, "session": {"runner": "cluster"}}
    response = made.coordinator.post(body, "application/vnd.apache.arrow.stream", stream=True)
    assert response.status_code == 200, response.text
    query = Following(made, response.headers["X-Query-Id"])
    return query, response


def test_workers_die_between_success_and_fetch(cluster):
    """The rows that have left can not be taken back: the client must learn that they are not all."""
    made = cluster(workers=2)
    query, response = unread(made)
    query.wait_for(lambda: all(stage["state"] == "finished" for stage in query.stages()) and query.stages(), "success on the workers")
    assert any(worker.files() for worker in made.workers), "nothing is left to be lost"
    for worker in made.workers:
        worker.kill()
    rows = whole(response)
    assert rows is None, f"{rows} rows of {WIDE_ROWS} and no error"
    status = made.coordinator.wait_for_state(query.id, *ENDED, seconds=60)
    assert status["state"] == "failed" and status["error"]["retryable"], status
    made.at_rest(*made.workers)


@pytest.mark.soak
def test_an_unread_result_is_whole_when_its_workers_live(cluster):
    """The other half of the test before."""
    made = cluster(workers=2)
    query, response = unread(made)
    query.wait_for(lambda: all(stage["state"] == "finished" for stage in query.stages()) and query.stages(), "success on the workers")
    assert whole(response) == WIDE_ROWS
    made.at_rest()


@pytest.mark.soak
@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_dies_at_the_very_end(pair, number):
    """Too quickly over to be met for sure: whether this is during the last stage, after it or between success and fetch."""
    cluster = pair.two()
    query = cluster.ask(pair.deep)
    last = lambda: len({task["stage_id"] for task in query.tasks(attempt=1)}) > STAGES or query.future.done()  # noqa: E731
    query.wait_for(last, "the last stage")
    victim: Worker = cluster.workers[number]
    victim.kill()
    assert query.outcome().rows == pair.expected
    cluster.at_rest(victim)
