"""The limits of the HTTP door: bodies, headers, connections, time, web sites."""

import json
import socket

import pytest
import requests

from server import serving, wait_until
from test_lifecycle import auth_config
from test_limits import ENDLESS, names_key, settings

PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """One server that has no patience."""
    flags = settings(
        http__max_body_bytes="1KiB",
        http__max_header_bytes="8KiB",
        http__header_read_timeout="500ms",
        http__body_read_timeout="500ms",
        http__write_timeout="1s",
        http__max_wait="300ms",
        http__openapi="false",
        http__cors_allowed_origins=f'["{PAGE}"]',
        http__allowed_hosts='["tidemill.example.com"]',
    )
    with serving(tmp_path_factory.mktemp("strict"), *flags) as server:
        # A connection that is kept is closed when the next request does not follow at once.
        server.http.headers["Connection"] = "close"
        yield server


class Wire:
    """A connection to write bytes to as no client would."""

    def __init__(self, server, head="", receive_bytes=None):
        host, port = server.address.rsplit(":", 1)
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(30)
        self.socket.connect((host, int(port)))
        self.send(head)

    def send(self, text: str):
        self.socket.sendall(text.encode())

    def rest(self) -> str:
        """Everything until the server closes."""
        parts = []
        try:
            while part := self.socket.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts).decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def post_head(server, length, *more):
    lines = ["POST /v1/query HTTP/1.1", f"Host: {server.address}", "Content-Type: application/sql", f"Content-Length: {length}", *more]
    return "\r\n".join(lines) + "\r\n\r\n"


def test_a_body_too_large(strict):
    for data in ["SELECT 1 --" + "x" * 2000, (part for part in [b"SELECT 1 --"] + [b"x" * 100] * 20)]:
        response = strict.http.post(strict.url("/v1/query"), data=data, headers={"Content-Type": "application/sql"})
        assert response.status_code == 413 and response.json()["code"] == "PAYLOAD_TOO_LARGE", response.text
        names_key(response, "http.max_body_bytes")
    assert strict.value("SELECT 1 --" + "x" * 900) == 1


def test_a_body_too_slow(strict):
    with Wire(strict, post_head(strict, 100) + "SELECT") as wire:
        answer = wire.rest()
    assert answer.startswith("HTTP/1.1 408 ") and "500ms" in answer and "application/problem+json" in answer and "REQUEST_TIMEOUT" in answer


def test_headers_too_large(strict):
    for headers in [{"X-Padding": "x" * 9000}, {f"X-{number}": "x" for number in range(200)}]:
        response = requests.get(strict.url("/livez"), headers=headers, timeout=30)
        assert response.status_code == 431 and response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == "HEADERS_TOO_LARGE", response.text
    long = requests.get(strict.url("/v1/query"), params={"sql": "SELECT '" + "x" * 9000 + "'"}, timeout=30)
    assert long.status_code == 431 and "http.max_header_bytes" in long.json()["hint"]
    # Far more is refused before it is read, without words.
    assert requests.get(strict.url("/livez"), headers={"X-Padding": "x" * 90000}, timeout=30).status_code == 431
    assert requests.get(strict.url("/livez"), headers={"X-Padding": "x" * 6000}, timeout=30).status_code == 200


@pytest.mark.parametrize("head", ["", "GET /livez HTTP/1.1\r\nHost: x"], ids=["nothing", "half a head"])
def test_headers_that_do_not_arrive(strict, head):
    with Wire(strict, head) as wire:
        assert "200 OK" not in wire.rest()


def test_an_idle_connection_is_closed(serve):
    with serve(*settings(http__idle_timeout="300ms")) as server:
        with Wire(server, f"GET /livez HTTP/1.1\r\nHost: {server.address}\r\n\r\n") as wire:
            assert wire.rest().startswith("HTTP/1.1 200 ")


def test_a_client_that_does_not_read(strict):
    sql = "SELECT value, repeat('y', 1000) AS pad FROM generate_series(1, 100000000) g(value)"
    with Wire(strict, post_head(strict, len(sql), "Accept: text/csv") + sql, receive_bytes=4096):
        dropped = "SELECT count(*) FROM system.queries WHERE state = 'cancelled' AND sql LIKE '%repeat(''y''%' AND sql NOT LIKE '%system.queries%'"
        wait_until(lambda: strict.value(dropped) == 1, 20, "the end of the query")
    strict.at_rest()


def test_the_longest_wait(strict):
    """However long the client would wait, it is told how things stand after the server's time."""
    status = strict.submit(ENDLESS)
    strict.wait_for_state(status["id"], "running")
    polled = strict.http.get(strict.url(f"/v1/queries/{status['id']}"), params={"wait": "1h"}, timeout=20)
    assert polled.json()["state"] == "running"
    waited = strict.post({"sql": ENDLESS}, headers={"Prefer": "wait=3600"}, timeout=20)
    assert waited.status_code == 202 and waited.headers["Preference-Applied"]
    for query in [status["id"], waited.json()["id"]]:
        assert strict.http.delete(strict.url(f"/v1/queries/{query}")).status_code == 202


def test_no_description_where_none_is_wanted(strict):
    for path in ["/v1/openapi.json", "/docs", "/"]:
        assert strict.http.get(strict.url(path), allow_redirects=False).status_code == 404


def test_web_sites(strict):
    post = lambda **headers: strict.post("SELECT 1 AS a", headers={name.replace("_", "-"): value for name, value in headers.items()})  # noqa: E731
    assert post().status_code == post(Origin=strict.url()).status_code == 200
    allowed = post(Origin=PAGE)
    assert allowed.status_code == 200 and allowed.headers["Access-Control-Allow-Origin"] == PAGE
    for foreign in [post(Origin="https://evil.example"), post(Origin="null"), post(Sec_Fetch_Site="cross-site")]:
        assert foreign.status_code == 403 and "Access-Control-Allow-Origin" not in foreign.headers
        names_key(foreign, "http.cors_allowed_origins")
    ask = {"Access-Control-Request-Method": "POST"}
    preflight = strict.http.options(strict.url("/v1/query"), headers=ask | {"Origin": PAGE})
    assert preflight.status_code == 204 and "POST" in preflight.headers["Access-Control-Allow-Methods"]
    refused = strict.http.options(strict.url("/v1/query"), headers=ask | {"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_names_of_the_server(strict):
    get = lambda host: strict.http.get(strict.url("/v1/me"), headers={"Host": host})  # noqa: E731
    for host in ["localhost", "127.0.0.1:1", "[::1]:1", "tidemill.example.com", "TIDEMILL.example.com:8080"]:
        assert get(host).status_code == 200, host
    for host in ["evil.example", "tidemill.example.com.evil.example", "127.0.0.1.evil.example"]:
        refused = get(host)
        assert refused.status_code == 403, host
        names_key(refused, "http.allowed_hosts")


def test_connections(serve):
    with serve(*settings(http__max_connections=2)) as server:
        head = f"GET /livez HTTP/1.1\r\nHost: {server.address}\r\n\r\n"
        with Wire(server, head) as first, Wire(server, head) as second:
            assert first.socket.recv(1000) and second.socket.recv(1000)
            with Wire(server, head) as third:
                third.socket.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    third.socket.recv(1)
                # One more waits until another ends.
                first.socket.close()
                third.socket.settimeout(20)
                assert third.socket.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_connections_of_one_address(serve):
    with serve(*settings(http__max_connections_per_address=1)) as server:
        head = f"GET /livez HTTP/1.1\r\nHost: {server.address}\r\n\r\n"
        with Wire(server, head) as first:
            assert first.socket.recv(1000).startswith(b"HTTP/1.1 200 ")
            with Wire(server) as second:
                refused = second.rest()
                assert refused.startswith("HTTP/1.1 503 ") and "application/problem+json" in refused and "your address" in refused
                assert json.loads(refused.split("\r\n\r\n")[1])["code"] == "UNAVAILABLE"
        wait_until(lambda: answers(server, head), 20, "a free place")


def answers(server, head) -> bool:
    with Wire(server) as wire:
        try:
            wire.send(head)
            return wire.socket.recv(1000).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False


def test_failed_logins(tmp_path):
    flags = ["--config", str(auth_config(tmp_path)), *settings(http__max_failed_logins=2, http__public_metrics="true")]
    with serving(tmp_path / "data", *flags) as server:
        login = lambda password: server.http.get(server.url("/v1/me"), auth=("ann", password))  # noqa: E731
        assert login("secret").status_code == 200
        assert [login("wrong").status_code for _ in range(3)] == [401, 401, 429]
        # Nor may it try the right one, or a guess could be told from the others.
        refused = login("secret")
        assert refused.status_code == 429 and 0 < int(refused.headers["Retry-After"]) <= 60
        told = [refused.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
        assert told == ["2", "0", refused.headers["Retry-After"]]
        assert refused.json()["code"] == "TOO_MANY_REQUESTS"
        token = server.http.get(server.url("/v1/me"), headers={"Authorization": "Bearer tm-test-token"})
        assert token.status_code == 200 and token.json()["name"] == "loader"
        assert requests.get(server.url("/metrics"), timeout=30).status_code == 200
