"""A coordinator and its workers as processes of this machine, and what the tests ask of them."""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import signal
import time
import uuid

import pyarrow as pa
import pyarrow.ipc
import requests

from server import ARROW_STREAM, Program, Server, wait_until

TOKEN = "a-join-token-of-the-tests-0123456789"
# The bound of the product: an error, if not the answer, is there by then.
PATIENCE = 60
ENDED = ("finished", "failed", "cancelled")


class Worker(Program):
    """`tidemill worker` on a free port."""

    def __init__(self, work_dir: pathlib.Path, coordinator: str, *arguments: str, listen="127.0.0.1:0", slots=1, **options):
        self.work_dir = pathlib.Path(work_dir)
        super().__init__(
            "worker", "--coordinator", coordinator, "--listen", listen, "--slots", str(slots), "--work-dir", str(work_dir), *arguments, **options
        )
        self.address = self.announced("worker")
        self.id = self.joined()

    def joined(self) -> str:
        """The id that the coordinator knows it by."""
        return self.said(r"joined coordinator=\S+ id=(\S+)")[1]

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def files(self) -> list[pathlib.Path]:
        """What tasks left in its work directory: their output, and spill files."""
        return [*files_below(self.work_dir / "shuffle"), *files_below(self.work_dir / "spill")]

    def stop(self):
        """Ends it whatever state it is in."""
        if self.process.poll() is None:
            self.resume()
            self.kill()


def files_below(folder: pathlib.Path) -> list[pathlib.Path]:
    """`os.walk` passes over folders that vanish meanwhile."""
    return [pathlib.Path(path, name) for path, _, names in os.walk(folder) for name in names]


@dataclasses.dataclass
class Outcome:
    """How a query ended for its client."""

    query_id: str
    seconds: float
    rows: list[tuple] | None = None
    problem: dict | None = None

    @property
    def answered(self) -> bool:
        return self.rows is not None

    def clear_error(self, *names: str) -> dict:
        """The problem, which says that trying again makes sense, and names one of `names`."""
        assert self.problem is not None, f"{len(self.rows)} rows instead of an error"
        assert self.problem["retryable"] is True, self.problem
        assert not names or any(name in self.problem["detail"] for name in names), self.problem
        return self.problem


def matching(rows: list[dict], wanted: dict) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


class Query:
    """A query on its way, asked by a client that waits for the answer."""

    def __init__(self, cluster: "Cluster", sql: str, arrow: bool = False, **session: str):
        # The time comes first in an id, so that those of one test are in order.
        self.id = str(uuid.UUID(int=(int(time.time() * 1000) << 80) | (7 << 76) | (2 << 62) | uuid.uuid4().int % (1 << 62)))
        self.cluster, self.sql, self.arrow = cluster, sql, arrow
        self.session = {"runner": "cluster"} | session
        self.began = time.monotonic()
        self.future = cluster.clients.submit(self._ask)

    def _ask(self) -> Outcome:
        body, headers = {"sql": self.sql, "session": self.session}, {"X-Query-Id": self.id}
        server, answer = self.cluster.coordinator, None
        try:
            response = server.post(body, ARROW_STREAM if self.arrow else "application/json", headers, timeout=2 * PATIENCE)
            if response.status_code == 200:
                rows = arrow_rows(response.content) if self.arrow else json_rows(response.json())
                return Outcome(self.id, time.monotonic() - self.began, rows=rows)
            answer = response.json()
        except BROKEN_OFF:
            # The status of the query says why.
            pass
        seconds = time.monotonic() - self.began
        return Outcome(self.id, seconds, problem=answer or failure_of(server, self.id))

    def outcome(self, seconds: float = PATIENCE) -> Outcome:
        """How it ended; that it ended by then is part of every test."""
        try:
            outcome = self.future.result(max(self.began + seconds - time.monotonic(), 0.1))
        except concurrent.futures.TimeoutError:
            raise AssertionError(f"neither an answer nor an error after {seconds} s: {self.record()}") from None
        print(f"{self.id} {'answered' if outcome.answered else outcome.problem['detail']} {outcome.seconds:.1f} s")
        return outcome

    def record(self) -> dict:
        """Its stages, tasks and retries, as they are now."""
        return self.cluster.record(self.id)

    def stages(self, **wanted) -> list[dict]:
        """The stages whose fields are as wanted: `stages(state="running")`."""
        return matching(self.record()["stages"], wanted)

    def tasks(self, **wanted) -> list[dict]:
        """The tasks whose fields are as wanted: `tasks(state="running", worker=worker.id)`."""
        return matching(self.record()["tasks"], wanted)

    def wait_for(self, look, what: str, seconds: float = PATIENCE):
        """Looks until there is something to see; that the query ends before is an error of the test."""

        def seen():
            found, ended = look(), self.future.done()
            assert found or not ended, f"{what} was not to be seen before the query ended: {self.record()}"
            return found

        return wait_until(seen, seconds, f"{what} of {self.id}")

    def wait_for_task(self, **wanted) -> dict:
        """A task as wanted, once there is one."""
        return self.wait_for(lambda: self.tasks(**wanted), f"a task {wanted}")[0]

    def wait_for_stage(self, **wanted) -> dict:
        """A stage as wanted, once there is one."""
        return self.wait_for(lambda: self.stages(**wanted), f"a stage {wanted}")[0]

    def wait_for_state(self, state: str):
        """Until it is in a state that is not its last one."""
        coordinator = self.cluster.coordinator

        def reached() -> bool:
            response = coordinator.http.get(coordinator.url(f"/v1/queries/{self.id}"))
            # It may not have arrived yet.
            return response.status_code == 200 and response.json()["state"] == state

        self.wait_for(reached, f"state {state}")

    def cancel(self):
        assert self.cluster.coordinator.http.delete(self.cluster.coordinator.url(f"/v1/queries/{self.id}")).ok


class Following(Query):
    """A query that was asked by other means: `outcome` is not for it."""

    def __init__(self, cluster: "Cluster", query_id: str):
        self.cluster, self.id, self.future = cluster, query_id, self

    def done(self) -> bool:
        return self.cluster.coordinator.status(self.id)["state"] in ENDED


# A result that is not whole, in every form in which clients of HTTP and Arrow find that out.
BROKEN_OFF = (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError, ValueError, pa.ArrowInvalid, OSError)


def arrow_rows(body: bytes) -> list[tuple]:
    table = pa.ipc.open_stream(body).read_all()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def whole(response: requests.Response) -> int | None:
    """The number of rows of a result in Arrow whose body was not read yet; nothing if it breaks off."""
    try:
        return len(arrow_rows(b"".join(response.iter_content(1 << 20))))
    except BROKEN_OFF as error:
        print(f"broke off: {error!r}")
        return None


def json_rows(document: dict) -> list[tuple]:
    if "error" in document:
        raise ValueError("an answer that ends with an error")
    return [tuple(row) for row in document["rows"]]


def failure_of(server: Server, query_id: str) -> dict:
    """The failure of a query whose answer broke off, in the form of a problem document."""
    error = server.wait_for_state(query_id, *ENDED)["error"]
    assert error, f"{query_id} broke off, and history knows no error"
    return error | {"detail": error["message"]}


class Cluster:
    """A coordinator with its workers; leaving the block ends them all."""

    def __init__(self, folder: pathlib.Path, config: pathlib.Path, *coordinator: str, scheduler="127.0.0.1:0", **options):
        self.folder, self.config, self.options = folder, config, options
        token = folder / "token"
        token.write_text(TOKEN)
        self.worker_arguments = ["--config", str(config), "--set", f"cluster.join_token=file:{token}"]
        self.coordinator_arguments = ["--cluster", *self.worker_arguments, *coordinator]
        self.clients = concurrent.futures.ThreadPoolExecutor(64)
        self.workers: list[Worker] = []
        self.coordinator = self._start_coordinator(scheduler)
        self.scheduler = self.coordinator.announced("scheduler")

    def _start_coordinator(self, scheduler: str) -> Server:
        return Server(self.folder / "coordinator", "--scheduler", scheduler, *self.coordinator_arguments, **self.options)

    def restart_coordinator(self):
        """The coordinator again, with its data and where its workers look for it."""
        self.coordinator = self._start_coordinator(self.scheduler)
        assert self.coordinator.announced("scheduler") == self.scheduler

    def start_worker(self, *arguments: str, work_dir: pathlib.Path | None = None, **options) -> Worker:
        """One more worker, which has joined when this returns."""
        work_dir = work_dir or self.folder / f"worker-{len(self.workers)}"
        worker = Worker(work_dir, self.scheduler, *self.worker_arguments, *arguments, **(self.options | options))
        self.workers.append(worker)
        self.wait_for_workers(active=[worker])
        return worker

    def known_workers(self) -> dict[str, dict]:
        """Workers by id, as `system.workers` shows them."""
        return {row["id"]: row for row in self.table("SELECT * FROM system.workers")}

    def table(self, sql: str) -> list[dict]:
        """What the coordinator answers, each row with the names of its columns."""
        response = self.coordinator.post(sql)
        assert response.status_code == 200, response.text
        answer = response.json()
        names = [column["name"] for column in answer["schema"]]
        return [dict(zip(names, row, strict=True)) for row in answer["rows"]]

    def wait_for_workers(self, seconds: float = 30, **states: list[Worker]):
        """Until the workers are in these states: `wait_for_workers(active=[a], lost=[b])`; one that is gone may not be listed."""

        def so():
            known = self.known_workers()
            listed = lambda worker, wanted: worker.id in known or wanted not in ("lost", "left")  # noqa: E731
            rows = [(known.get(worker.id, {}), wanted) for wanted, workers in states.items() for worker in workers if listed(worker, wanted)]
            return all(row.get("state") == wanted for row, wanted in rows)

        wait_until(so, seconds, f"workers {({state: [worker.id for worker in workers] for state, workers in states.items()})}")

    def wait_for_return(self, *workers: Worker, seconds: float = 30):
        """Until workers take tasks again, by whatever id the coordinator gives them now."""
        for worker in workers:
            again = lambda worker=worker: [  # noqa: E731
                row["id"] for row in self.known_workers().values() if row["address"] == worker.address and row["state"] == "active"
            ]
            worker.id = wait_until(again, seconds, f"the return of {worker.address}")[0]

    def worker(self, worker_id: str) -> Worker:
        """The process behind an id."""
        (worker,) = [worker for worker in self.workers if worker.id == worker_id]
        return worker

    def others(self, *gone: Worker) -> list[Worker]:
        return [worker for worker in self.workers if worker not in gone]

    def ask(self, sql: str, **options) -> Query:
        return Query(self, sql, **options)

    def rows(self, sql: str, **session: str) -> list[tuple]:
        """The answer of the cluster."""
        query = self.ask(sql, **session)
        outcome = query.outcome(240)
        assert outcome.answered, outcome.problem
        if session.get("runner", "cluster") == "cluster":
            self.assert_ran_on_workers(query.id)
        return outcome.rows

    def local(self, sql: str) -> list[tuple]:
        """The answer of the coordinator alone: what the cluster has to answer too."""
        return self.rows(sql, runner="local")

    def record(self, query_id: str) -> dict:
        response = self.coordinator.http.get(self.coordinator.url(f"/v1/queries/{query_id}/stages"))
        return response.json() if response.status_code == 200 else {"stages": [], "tasks": [], "retries": []}

    def assert_ran_on_workers(self, query_id: str):
        """No test of the cluster is about the coordinator computing alone."""
        ran = {task["worker"] for task in self.record(query_id)["tasks"]}
        assert ran and ran <= {worker.id for worker in self.workers}, ran

    def post(self, path: str, **options) -> requests.Response:
        return self.coordinator.http.post(self.coordinator.url(path), **options)

    def metric(self, name: str) -> float:
        """A sample without labels."""
        text = self.coordinator.http.get(self.coordinator.url("/metrics")).text
        return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])

    def at_rest(self, *gone: Worker, seconds: float = 15):
        """Nothing of any query is left: no permit, no memory, no task, no slot and no file, here and on the workers that live."""
        self.coordinator.at_rest(seconds)
        alive = self.others(*gone)

        def idle():
            known = self.known_workers()
            rows = [known[worker.id] for worker in alive if worker.id in known]
            return len(rows) == len(alive) and all(row["slots_free"] == row["slots"] and row["tasks_running"] == 0 for row in rows)

        wait_until(idle, seconds, f"free slots everywhere: {self.known_workers()}")
        for worker in alive:
            wait_until(lambda worker=worker: not worker.files(), seconds, f"an empty {worker.work_dir}: {worker.files()[:5]}")
        # Only the one who asks holds a permit.
        assert self.metric("tidemill_queries_running") == self.metric("tidemill_queries_queued") == 0

    def close(self):
        for worker in self.workers:
            worker.stop()
        if self.coordinator.process.poll() is None:
            self.coordinator.kill()
        self.clients.shutdown(wait=False, cancel_futures=True)

    def logs(self) -> str:
        parts = [("coordinator", self.coordinator), *((worker.id, worker) for worker in self.workers)]
        return "\n".join(f"--- {name}\n{program.log_text()}" for name, program in parts)
