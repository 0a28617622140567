"""Every way to stop a query, in every state it can be in: it ends as it should and leaves nothing behind."""

import concurrent.futures
import http.server
import signal
import subprocess
import threading
import uuid

import pytest
import requests

from server import Server, binary, clean_environment, serving, wait_until
from test_error_codes import MISSING, expect, wait_for_running
from test_http_limits import Wire, post_head
from test_limits import ENDLESS, settings

ENDLESS_ROWS = "SELECT value, repeat('y', 1000) AS pad FROM generate_series(1, 1000000000) g(value)"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("one"), *settings(admission__max_running=1)) as server:
        yield server


@pytest.fixture
def one(shared):
    """A server that runs one query at a time, so that the next one waits; a test that fails leaves none to the next."""
    yield shared
    for query in shared.http.get(shared.url("/v1/queries"), params={"state": "planning,queued,running"}).json()["queries"]:
        shared.http.delete(shared.url(f"/v1/queries/{query['id']}"))
    shared.at_rest()


@pytest.fixture
def busy(one):
    """The same server with its only permit taken."""
    running(one)
    return one


@pytest.fixture(scope="module")
def silent():
    """The URL of a file on a server that takes requests and never answers: whoever plans over it waits."""
    released = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def wait(self):
            released.wait()

        do_GET = do_HEAD = wait

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/file.csv"
    released.set()


def chosen_id():
    return MISSING[:-12] + uuid.uuid4().hex[:12]


def state_of(server, query_id):
    return server.http.get(server.url(f"/v1/queries/{query_id}")).json().get("state")


def running(server):
    """A query that runs until it is stopped."""
    query_id = server.submit(ENDLESS)["id"]
    server.wait_for_state(query_id, "running")
    return query_id


def asking(server, sql, query_id):
    """A connection that has sent its query and waits."""
    return Wire(server, post_head(server, len(sql), f"X-Query-Id: {query_id}", "Accept: text/csv") + sql)


def ends_with(response, code) -> bool:
    """Whether a stream tells of this failure at its end, or breaks off: no client takes either for the whole result."""
    tail = b""
    try:
        for chunk in response.iter_content(1 << 20):
            tail = (tail + chunk)[-2000:]
    except requests.exceptions.ChunkedEncodingError:
        return True
    return f'"{code}"'.encode() in tail


WAYS = {
    "delete": lambda server, query_id: server.http.delete(server.url(f"/v1/queries/{query_id}")),
    "kill": lambda server, query_id: server.post(f"KILL QUERY '{query_id}'"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_waiting_query_leaves_the_queue(busy, way):
    first = busy.submit("SELECT 1 AS first")["id"]
    busy.wait_for_state(first, "queued")
    second = busy.submit("SELECT 2 AS second")["id"]
    assert busy.wait_for_state(second, "queued")["queue_position"] == 2
    assert WAYS[way](busy, first).ok
    busy.wait_for_state(first, "cancelled", seconds=5)
    assert busy.status(second)["queue_position"] == 1


def test_a_client_that_leaves_the_queue(busy):
    query_id = chosen_id()
    with asking(busy, "SELECT 3 AS third", query_id):
        wait_until(lambda: state_of(busy, query_id) == "queued", 20, "the query in the queue")
    busy.wait_for_state(query_id, "cancelled", seconds=5)


def test_a_deadline_in_the_queue(busy):
    response = busy.post({"sql": "SELECT 4 AS fourth", "timeout_ms": 200})
    expect(response, "TIMEOUT", 504, "57014")
    assert busy.status(response.json()["query_id"])["timings"]["started_at"] is None


@pytest.mark.parametrize("way", WAYS)
def test_a_query_that_is_being_planned(one, silent, way):
    query_id = one.submit(f"SELECT * FROM '{silent}'")["id"]
    one.wait_for_state(query_id, "planning")
    assert WAYS[way](one, query_id).ok
    one.wait_for_state(query_id, "cancelled", seconds=5)
    one.at_rest()


def test_a_client_that_leaves_while_its_query_is_planned(one, silent):
    query_id = chosen_id()
    with asking(one, f"SELECT * FROM '{silent}'", query_id):
        wait_until(lambda: state_of(one, query_id) == "planning", 20, "planning")
    one.wait_for_state(query_id, "cancelled", seconds=5)
    one.at_rest()


def test_a_deadline_while_planning(one, silent):
    expect(one.post({"sql": f"SELECT * FROM '{silent}'", "timeout_ms": 200}), "TIMEOUT", 504, "57014")
    one.at_rest()


def test_a_deadline_while_running(one):
    status = one.submit(ENDLESS, timeout_ms=500)
    assert one.wait_for_state(status["id"], "failed", seconds=5)["error"]["code"] == "TIMEOUT"
    one.at_rest()


def test_a_deadline_while_the_client_fetches(one):
    response = one.post({"sql": ENDLESS_ROWS, "timeout_ms": 500}, "application/x-ndjson", stream=True)
    assert response.status_code == 200
    query_id = response.headers["X-Query-Id"]
    # The client does not read on, and the query waits for it, until its time is up.
    assert one.wait_for_state(query_id, "failed", seconds=10)["error"]["code"] == "TIMEOUT"
    assert ends_with(response, "TIMEOUT")
    one.at_rest()


def test_delete_while_the_client_fetches(one):
    response = one.post({"sql": ENDLESS_ROWS}, "application/x-ndjson", stream=True)
    query_id = response.headers["X-Query-Id"]
    assert one.http.delete(one.url(f"/v1/queries/{query_id}")).status_code == 202
    assert ends_with(response, "CANCELLED")
    assert one.wait_for_state(query_id, "cancelled")
    one.at_rest()


def test_closing_a_session_stops_its_queries(fresh):
    session = fresh.http.post(fresh.url("/v1/sessions"), json={}).json()["id"]
    in_background = fresh.submit(ENDLESS, session_id=session)["id"]
    waited_for = chosen_id()
    other = fresh.submit(ENDLESS)["id"]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(fresh.post, {"sql": ENDLESS, "session_id": session}, headers={"X-Query-Id": waited_for})
        for query_id in [in_background, waited_for, other]:
            wait_for_running(fresh, query_id)
        assert fresh.http.get(fresh.url(f"/v1/sessions/{session}")).json()["running_queries"] == 2
        assert fresh.http.delete(fresh.url(f"/v1/sessions/{session}")).status_code == 204
        expect(answer.result(10), "CANCELLED", 499, "57014")
    fresh.wait_for_state(in_background, "cancelled", seconds=5)
    assert fresh.status(other)["state"] == "running"
    fresh.http.delete(fresh.url(f"/v1/queries/{other}"))
    fresh.at_rest()


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"], ids=["long poll", "events"])
def test_who_only_watches_may_leave(one, accept):
    """The query of a client that polls goes on without it."""
    query_id = running(one)
    with Wire(one, f"GET /v1/queries/{query_id}?wait=60s HTTP/1.1\r\nHost: {one.address}\r\nAccept: {accept}\r\n\r\n") as wire:
        port = wire.socket.getsockname()[1]
        wait_until(lambda: connected(one, port), 10, "the connection")
    wait_until(lambda: not connected(one, port), 10, "the end of the connection")
    assert one.status(query_id)["state"] == "running"


def connected(server, port) -> bool:
    """Whether the server holds a connection with this port of a client, by the kernel's table."""
    own = int(server.address.rsplit(":", 1)[1])
    rows = [line.split() for line in open(f"/proc/{server.process.pid}/net/tcp")]  # noqa: SIM115
    return any(row[1].endswith(f":{own:04X}") and row[2].endswith(f":{port:04X}") and row[3] in {"01", "08"} for row in rows)


def test_a_keyed_request_goes_on_without_its_client(one):
    """A client whose connection broke repeats the request, and gets the answer of the first."""
    sql, key = "SELECT count(*) AS n FROM generate_series(1, 20000000) g(v) WHERE v % 3 = 0", uuid.uuid4().hex
    query_id = chosen_id()
    head = post_head(one, len(sql), f"X-Query-Id: {query_id}", f"Idempotency-Key: {key}")
    with Wire(one, head + sql):
        wait_until(lambda: state_of(one, query_id) in {"running", "finished"}, 20, "the query")
    again = one.post(sql, headers={"Idempotency-Key": key})
    assert again.status_code == 200 and again.json()["rows"] == [[6666666]]
    assert again.headers["X-Query-Id"] == query_id


def test_killing_twice(one):
    query_id = running(one)
    assert one.post(f"KILL QUERY '{query_id}'").ok
    one.wait_for_state(query_id, "cancelled")
    assert one.post(f"KILL QUERY '{query_id}'").ok
    assert one.status(query_id)["state"] == "cancelled"


def test_interrupting_the_command_line(one):
    command = [binary(), "sql", "--url", one.url(), "-c", ENDLESS]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    listed = lambda: one.http.get(one.url("/v1/queries"), params={"state": "running"}).json()["queries"]  # noqa: E731
    (query,) = wait_until(listed, 20, "the query")
    client.send_signal(signal.SIGINT)
    _, errors = client.communicate(timeout=20)
    assert client.returncode != 0 and b"cancel" in errors.lower(), errors
    one.wait_for_state(query["id"], "cancelled", seconds=5)
    one.at_rest()


class TestTermination:
    """What SIGTERM does to those who are there."""

    def test_watchers_are_told_at_once(self, tmp_path):
        server = Server(tmp_path, *settings(server__drain_timeout="2s"))
        query_id = running(server)
        url = server.url(f"/v1/queries/{query_id}")
        events = requests.get(url, headers={"Accept": "text/event-stream"}, stream=True, timeout=30)
        lines = events.iter_lines()
        assert next(lines).startswith(b"event: progress")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            polled = pool.submit(requests.get, url, params={"wait": "60s"}, timeout=30)
            server.process.send_signal(signal.SIGTERM)
            assert b"event: end" not in list(lines)  # they break off
            try:
                assert polled.result(20).json()["state"] in {"running", "cancelled"}
            except requests.exceptions.ConnectionError:
                pass  # it came too late
        assert server.process.wait(30) == 0

    def test_a_request_that_comes_too_late(self, tmp_path):
        """Its head came before the signal, its body after: 503 says to try elsewhere."""
        server = Server(tmp_path, *settings(server__drain_timeout="20s"))
        with Wire(server, post_head(server, 8) + "SELE") as wire:
            assert server.value("SELECT 1") == 1
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses_connections(server), 20, "the end of listening")
            wire.send("CT 1")
            answer = wire.rest()
        assert answer.startswith("HTTP/1.1 503 "), answer
        assert '"UNAVAILABLE"' in answer and '"retryable":true' in answer and "retry-after: 5" in answer
        assert server.process.wait(30) == 0

    def test_what_was_cancelled_is_history(self, tmp_path):
        server = Server(tmp_path, *settings(server__drain_timeout="1s"))
        query_id = running(server)
        assert server.terminate() == 0
        with serving(tmp_path) as again:
            status = again.status(query_id)
            assert status["state"] in {"cancelled", "failed"} and status["error"]["code"] in {"CANCELLED", "UNAVAILABLE"}

    def test_what_was_killed_is_unavailable(self, tmp_path):
        server = Server(tmp_path)
        query_id = running(server)
        server.value("SELECT 'behind it' AS s")
        finished = server.submit("SELECT value FROM generate_series(1, 10) g(value)")["id"]
        server.wait_for_state(finished, "finished")
        server.kill()
        with serving(tmp_path) as again:
            result = lambda query: again.http.get(again.url(f"/v1/queries/{query}/result"))  # noqa: E731
            expect(result(query_id), "UNAVAILABLE", 503, "57P03")
            # A result that was kept is kept.
            assert result(finished).json()["rows"] == [[number] for number in range(1, 11)]


def refuses_connections(server) -> bool:
    try:
        Wire(server).socket.close()
    except ConnectionError:
        return True
    return False
