"""Who may join, who is refused and is told why, who is known, and who comes back."""

import concurrent.futures
import hashlib
import hmac
import json

import grpc
import pytest

from cluster import TOKEN, Worker
from server import Program, run, wait_until

# The exit code of a worker that the coordinator does not take.
REFUSED = 3
COUNT = "SELECT count(*), sum(v) FROM facts"


def join(cluster, tmp_path, *arguments: str):
    """A worker that is expected to be refused: how it ended."""
    command = ["worker", "--coordinator", cluster.scheduler, "--listen", "127.0.0.1:0", "--work-dir", str(tmp_path / "refused"), *arguments]
    return run(*command, timeout=60)


def test_workers_are_known_with_what_they_have(steady):
    known = steady.known_workers()
    assert set(known) == {worker.id for worker in steady.workers}
    for worker in steady.workers:
        row = known[worker.id]
        assert row["address"] == worker.address
        assert (row["state"], row["slots"], row["slots_free"], row["tasks_running"]) == ("active", 1, 1, 0)
        assert row["memory_limit_bytes"] > 0 and row["disk_limit_bytes"] > 0 and row["version"] and row["joined_at"] <= row["last_seen"]
    nodes = steady.coordinator.http.get(steady.coordinator.url("/v1/nodes")).json()["nodes"]
    assert {node["id"] for node in nodes} >= set(known)


@pytest.mark.parametrize("token", [["--set", "cluster.join_token=not-the-token-of-this-cluster-at-all"], []], ids=["wrong", "none"])
def test_without_the_token_nobody_joins(steady, tmp_path, token):
    before = set(steady.known_workers())
    ended = join(steady, tmp_path, *token)
    told = ended.stderr.decode()
    assert ended.returncode == REFUSED and "join_token" in told, told
    assert TOKEN not in told + ended.stdout.decode() and "not-the-token" not in told
    assert set(steady.known_workers()) == before


def test_a_coordinator_that_is_not_there(steady, tmp_path):
    worker = ["worker", "--coordinator", "not an address", "--listen", "127.0.0.1:0", "--work-dir", str(tmp_path / "w")]
    ended = run(*worker, timeout=60)
    assert ended.returncode not in (0, -9) and "not an address" in ended.stderr.decode()


@pytest.mark.parametrize("role", ["coordinator", "worker"])
def test_beyond_loopback_without_a_token_nothing_starts(tmp_path, role):
    command = {
        "coordinator": ["serve", "--cluster", "--http", "127.0.0.1:0", "--scheduler", "0.0.0.0:0", "--data-dir", str(tmp_path / "data")],
        "worker": ["worker", "--coordinator", "127.0.0.1:1", "--listen", "0.0.0.0:0", "--work-dir", str(tmp_path / "work")],
    }[role]
    ended = run(*command, timeout=60)
    assert ended.returncode not in (0, -9) and "join_token" in ended.stderr.decode(), ended.stderr.decode()
    assert "listening" not in ended.stdout.decode()


CALLS = {
    "scheduler": [
        "/ballista.protobuf.SchedulerGrpc/RegisterExecutor",
        "/ballista.protobuf.SchedulerGrpc/HeartBeatFromExecutor",
        "/ballista.protobuf.SchedulerGrpc/UpdateTaskStatus",
        "/ballista.protobuf.SchedulerGrpc/PollWork",
        "/ballista.protobuf.SchedulerGrpc/ExecuteQuery",
        "/ballista.protobuf.SchedulerGrpc/GetJobStatus",
        "/ballista.protobuf.SchedulerGrpc/CancelJob",
    ],
    "worker": [
        "/ballista.protobuf.ExecutorGrpc/LaunchMultiTask",
        "/ballista.protobuf.ExecutorGrpc/CancelTasks",
        "/ballista.protobuf.ExecutorGrpc/RemoveJobData",
        "/ballista.protobuf.ExecutorGrpc/StopExecutor",
        "/arrow.flight.protocol.FlightService/DoGet",
        "/arrow.flight.protocol.FlightService/DoAction",
        "/arrow.flight.protocol.FlightService/ListActions",
        "/arrow.flight.protocol.FlightService/DoPut",
    ],
}


def proof(token: str) -> str:
    """What members of the cluster show instead of the token."""
    return hmac.new(token.encode(), b"tidemill cluster, version 1", hashlib.sha256).hexdigest()


def call(address: str, method: str, agent: str | None, body: bytes = b"\xff\xff\xff", **metadata: str) -> tuple[grpc.StatusCode, str]:
    """What a caller is answered who goes by this name; as it is, the message means nothing."""
    options = [("grpc.primary_user_agent", agent)] if agent else []
    with grpc.insecure_channel(address, options) as channel:
        rpc = channel.unary_stream(method, request_serializer=bytes, response_deserializer=bytes)
        try:
            list(rpc(body, metadata=[(name.replace("_", "-"), value) for name, value in metadata.items()], timeout=20))
        except grpc.RpcError as error:
            return error.code(), error.details()
        return grpc.StatusCode.OK, ""


@pytest.mark.parametrize(("door", "method"), [(door, method) for door, methods in CALLS.items() for method in methods])
def test_nothing_answers_without_the_token(steady, door, method):
    address = steady.scheduler if door == "scheduler" else steady.workers[0].address
    agents = [None, "tidemill-cluster/", "tidemill-cluster/open", f"tidemill-cluster/{TOKEN}", f"tidemill-cluster/{proof('another')}", proof(TOKEN)]
    for agent in agents:
        assert call(address, method, agent)[0] == grpc.StatusCode.UNAUTHENTICATED, agent
    # The same call by a member gets as far as its message, so that it is the name that was refused.
    reached = call(address, method, f"tidemill-cluster/{proof(TOKEN)}")[0]
    assert reached not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)


def test_a_worker_of_another_version_is_refused(steady):
    report = {"version": "0.0.1", "build": "of long ago", "slots": 1, "memory_bytes": 1, "memory_used": 0, "disk_bytes": 1, "disk_used": 0}
    report |= {"tasks_running": 0, "draining": False, "jobs": []}
    before = set(steady.known_workers())
    agent = f"tidemill-cluster/{proof(TOKEN)}"
    code, told = call(steady.scheduler, CALLS["scheduler"][0], agent, b"", tidemill_worker=json.dumps(report))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    version = steady.known_workers()[steady.workers[0].id]["version"]
    assert "0.0.1" in told and version in told and "same version" in told
    assert set(steady.known_workers()) == before


def test_a_refusal_is_shown_to_whoever_started_the_worker(tmp_path):
    """A coordinator of another version, as far as a worker can see."""

    def refuse(_, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "run the same version on every node, said the coordinator")

    class Everything(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(refuse)

    coordinator = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Everything()])
    port = coordinator.add_insecure_port("127.0.0.1:0")
    coordinator.start()
    try:
        address = f"127.0.0.1:{port}"
        ended = run("worker", "--coordinator", address, "--listen", "127.0.0.1:0", "--work-dir", str(tmp_path / "w"), timeout=60)
    finally:
        coordinator.stop(None)
    told = ended.stderr.decode()
    assert ended.returncode == REFUSED and "run the same version on every node, said the coordinator" in told and address in told


def test_the_token_is_never_shown(steady):
    settings = steady.coordinator.http.get(steady.coordinator.url("/v1/config")).text
    tables = [steady.coordinator.post(f"SELECT * FROM system.{name}").text for name in ["workers", "settings", "queries"]]
    assert TOKEN not in settings + "".join(tables) + steady.logs()


def test_a_worker_that_is_gone_is_noticed_and_its_successor_joins(cluster):
    made = cluster(workers=2)
    expected = made.local(COUNT)
    lost, kept = made.workers
    lost.kill()
    made.wait_for_workers(seconds=20, lost=[lost], active=[kept])
    assert made.rows(COUNT) == expected
    # In the same place: what its predecessor left there is of no use to anybody.
    leftover = lost.work_dir / "shuffle" / "leftover" / "job" / "1"
    leftover.mkdir(parents=True)
    (leftover / "data.arrow").write_bytes(b"x" * 1000)
    successor = made.start_worker(work_dir=lost.work_dir)
    assert successor.id != lost.id
    assert made.rows(COUNT) == expected
    wait_until(lambda: not successor.files(), 20, "an empty work directory")
    made.at_rest(lost)


def test_two_workers_do_not_share_a_work_directory(steady, tmp_path):
    ended = run(
        "worker", "--coordinator", steady.scheduler, "--listen", "127.0.0.1:0", "--work-dir", str(steady.workers[0].work_dir),
        *steady.worker_arguments, timeout=60,
    )  # fmt: skip
    assert ended.returncode not in (0, -9) and str(steady.workers[0].work_dir) in ended.stderr.decode()


def test_workers_stop_when_told(cluster):
    made = cluster(workers=1)
    (worker,) = made.workers
    assert worker.terminate() == 0
    made.wait_for_workers(left=[worker])
    assert not worker.files()


def test_a_worker_that_restarts_at_its_address_is_listed_once(cluster):
    made = cluster(workers=1)
    (first,) = made.workers
    first.kill()
    again = made.start_worker(listen=first.address)
    there = [row for row in made.known_workers().values() if row["address"] == first.address]
    assert {row["id"]: row["state"] for row in there} == {first.id: "lost", again.id: "active"}
    assert made.rows(COUNT) == made.local(COUNT)


def test_a_worker_that_is_not_where_it_says_does_not_join(cluster, tmp_path):
    made = cluster(workers=0)
    arguments = ["--advertise", "127.0.0.1:1", *made.worker_arguments]
    lonely = Program("worker", "--coordinator", made.scheduler, "--listen", "127.0.0.1:0", "--work-dir", str(tmp_path / "w"), *arguments)
    try:
        wait_until(lambda: "does not reach this worker at 127.0.0.1:1" in lonely.log_text(), 30, "a word about the address")
        assert not made.known_workers()
    finally:
        lonely.kill()


def test_a_worker_that_asks_the_wrong_port_is_told(steady, tmp_path):
    """Clients' port is where people look first."""
    http = steady.coordinator.url("").removeprefix("http://").rstrip("/")
    ended = run("worker", "--coordinator", http, "--listen", "127.0.0.1:0", "--work-dir", str(tmp_path / "w"), *steady.worker_arguments, timeout=60)
    assert ended.returncode == REFUSED and "worker.coordinator" in ended.stderr.decode(), ended.stderr.decode()


def test_a_worker_that_starts_first_waits_for_its_coordinator(cluster):
    """The order in which machines start is nobody's business."""
    made = cluster(workers=0)
    scheduler = made.scheduler
    assert made.coordinator.terminate() == 0
    early = Worker.__new__(Worker)
    early.work_dir = made.folder / "early"
    super(Worker, early).__init__(
        "worker", "--coordinator", scheduler, "--listen", "127.0.0.1:0", "--slots", "1", "--work-dir", str(early.work_dir), *made.worker_arguments
    )
    made.workers.append(early)
    made.restart_coordinator()
    early.address, early.id = early.announced("worker"), early.joined()
    made.wait_for_workers(active=[early])
    assert made.rows(COUNT) == made.local(COUNT)
