"""The configuration of a running server: who sees it, what of it can be changed, and what a change does at once."""

import concurrent.futures
import json
import re

import pytest
import requests

from server import run, serving, wait_until
from test_error_codes import expect
from test_lifecycle import auth_config, certificate
from test_limits import ENDLESS, names_key, settings

BEARER = {"Authorization": "Bearer tm-test-token"}


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """One server whose configuration comes from every layer, with secrets in it."""
    folder = tmp_path_factory.mktemp("layered")
    path = folder / "my.toml"
    path.write_text(
        """
[admission]
max_queued = 7

[storage.s3]
endpoint = "http://ann:hunter2@localhost:9000"
access_key_id = "AKIA-SHOULD-NOT-SHOW"
secret_access_key = "env:LAKE_KEY"

[catalogs.lake.schemas.s.tables.t]
location = "https://localhost:1/a.csv?signature=hunter2"
format = "csv"

[catalogs.lake.schemas.s.tables.t.options]
"format.delimiter" = "hunter2"
"""
    )
    flags = ["--config", str(path), *settings(results__ttl="10m")]
    with serving(folder / "data", *flags, LAKE_KEY="hunter2", TIDEMILL__LIMITS__MAX_PARAMETERS="99") as server:
        yield server


def get(server, key, **options):
    response = server.http.get(server.url(f"/v1/config/{key}"), **options)
    assert response.status_code == 200, response.text
    return response.json()


def put(server, key, value, **options):
    return server.http.put(server.url(f"/v1/config/{key}"), json={"value": value}, **options)


def change(server, key, value):
    response = put(server, key, value)
    assert response.status_code == 200, response.text
    return response.json()


def test_each_value_tells_who_set_it(layered):
    for key, value, origin in [
        ("admission.max_queued", 7, r".*my\.toml:3"),
        ("limits.max_parameters", 99, "environment TIDEMILL__LIMITS__MAX_PARAMETERS"),
        ("results.ttl", "10m", "flag --set"),
        ("admission.max_running", 16, "default"),
    ]:
        entry = get(layered, key)
        assert entry["value"] == value and re.fullmatch(origin, entry["origin"]), entry
    unset = get(layered, "http.tls.cert")
    assert unset["value"] is None and unset["origin"] is None and unset["accepts"] == "a path"
    listed = layered.http.get(layered.url("/v1/config")).json()["entries"]
    keys = [entry["key"] for entry in listed]
    assert keys == sorted(keys) and {"admission.max_queued", "server.data_dir", "auth.mode"} <= set(keys)
    found = layered.http.get(layered.url("/v1/config"), params={"q": "ADMISSION."}).json()["entries"]
    assert len(found) == 6 and all(entry["key"].startswith("admission.") for entry in found)


def test_secrets_are_masked(layered):
    everything = layered.http.get(layered.url("/v1/config")).text
    assert "hunter2" not in everything and "AKIA" not in everything
    assert get(layered, "storage.s3.access_key_id")["value"] == "***"
    assert get(layered, "storage.s3.secret_access_key")["value"] == "env:LAKE_KEY"
    assert get(layered, "catalogs.lake.schemas.s.tables.t.location")["value"] == "https://localhost:1/a.csv?***"


def test_what_is_no_key(layered):
    missing = layered.http.get(layered.url("/v1/config/admission.max_runing"))
    expect(missing, "SETTING_NOT_FOUND", 404, "42704")
    assert missing.json()["did_you_mean"] == ["admission.max_running"]
    section = layered.http.get(layered.url("/v1/config/admission"))
    expect(section, "SETTING_NOT_FOUND", 404, "42704")
    assert "q=admission." in section.json()["hint"]
    expect(put(layered, "nope", 1), "SETTING_NOT_FOUND", 404, "42704")


def test_values_are_checked_as_in_a_file(layered, tmp_path):
    """What the running server refuses is what `tidemill config check` refuses, with the same words."""
    for key, value in [
        ("admission.max_running", 0),
        ("admission.max_running", "many"),
        ("admission.queue_timeout", "soon"),
        ("admission.when_full", "panic"),
        ("limits.max_sql_bytes", "-1"),
        ("results.ttl", True),
        ("server.log.level", "tidemill=loudest"),
    ]:
        before = get(layered, key)
        refused = put(layered, key, value)
        expect(refused, "INVALID_SETTING", 400, "22023")
        text = str(value).lower() if isinstance(value, bool) else value
        checked = run("config", "check", "--data-dir", str(tmp_path), "--set", f"{key}={text}")
        assert checked.returncode == 2
        assert refused.json()["detail"].split(": ", 1)[1].split(";")[0] in checked.stdout.decode(), (refused.text, checked.stdout)
        assert get(layered, key) == before
    for body in [{}, {"value": None}, {"value": [1]}, {"value": {"a": 1}}]:
        response = layered.http.put(layered.url("/v1/config/admission.max_running"), json=body)
        expect(response, "INVALID_SETTING", 400, "22023")


def test_what_needs_a_restart_says_so(layered):
    for key in ["http.listen", "memory.limit", "auth.mode", "storage.s3.secret_access_key", "server.data_dir"]:
        entry = get(layered, key)
        assert entry["changeable"] is False
        refused = put(layered, key, "x")
        assert (refused.status_code, refused.json()["code"]) == (409, "RESTART_REQUIRED"), refused.text
        assert "restart" in refused.json()["hint"] and get(layered, key) == entry


def test_a_change_tells_what_was_and_how_long_it_holds(layered):
    changed = change(layered, "limits.max_parameters", 2)
    assert (changed["value"], changed["previous"], changed["default"]) == (2, 99, 65535)
    assert changed["durable"] is False and "until the server stops" in changed["note"]
    assert get(layered, "limits.max_parameters")["origin"] == "request of anonymous"
    response = layered.post({"sql": "SELECT $1 + $2 + $3 AS s", "params": [1, 2, 3]})
    names_key(response, "limits.max_parameters")
    change(layered, "limits.max_parameters", "99")
    assert layered.value({"sql": "SELECT $1 + $2 + $3 AS s", "params": [1, 2, 3]}) == 6


def test_a_change_is_gone_after_a_restart(tmp_path):
    with serving(tmp_path) as server:
        change(server, "admission.max_queued", 5)
    with serving(tmp_path) as again:
        assert get(again, "admission.max_queued")["origin"] == "default"


def test_limits_of_statements_hold_at_once(fresh):
    change(fresh, "limits.max_sql_bytes", "20B")
    assert fresh.value("SELECT 1 AS a") == 1
    names_key(fresh.post("SELECT 1 AS a, 2 AS b, 3 AS c"), "limits.max_sql_bytes")
    change(fresh, "limits.max_sql_bytes", "1MiB")
    change(fresh, "limits.max_statement_timeout", "200ms")
    expect(fresh.post(ENDLESS), "TIMEOUT", 504, "57014")


def test_room_for_more_lets_those_go_on_who_wait(serve):
    with serve(*settings(admission__max_running=1)) as server:
        first = server.submit(ENDLESS)["id"]
        server.wait_for_state(first, "running")
        second = server.submit(ENDLESS)["id"]
        assert server.wait_for_state(second, "queued")["queue_position"] == 1
        change(server, "admission.max_running", 2)
        assert server.wait_for_state(second, "running")["queue_position"] is None
        # Less room ends nobody, and lets nobody in.
        change(server, "admission.max_running", 1)
        change(server, "admission.when_full", "refuse")
        refused = server.post("SELECT count(*) FROM generate_series(1, 10) g(value)")
        expect(refused, "TOO_MANY_REQUESTS", 429, "53300")
        assert {server.status(query)["state"] for query in (first, second)} == {"running"}
        for query in (first, second):
            server.http.delete(server.url(f"/v1/queries/{query}"))


def test_results_are_kept_as_long_as_the_server_was_told_last(fresh):
    before = fresh.submit("SELECT 1 AS a")["id"]
    fresh.wait_for_state(before, "finished")
    change(fresh, "results.ttl", "1s")
    after = fresh.submit("SELECT 1 AS a")["id"]
    fresh.wait_for_state(after, "finished")
    result = lambda query: fresh.http.get(fresh.url(f"/v1/queries/{query}/result"))  # noqa: E731
    wait_until(lambda: result(after).status_code == 404, 20, "the end of the result")
    assert fresh.status(after)["result"] is None
    assert result(before).status_code == 200, "what was kept before keeps its time"


def test_the_log_follows_its_level(serve):
    with serve(*settings(server__log__level="warn")) as server:
        change(server, "server.log.level", "tidemill_server=info")
        change(server, "admission.max_queued", 5)
        wait_until(lambda: "admission.max_queued" in server.log_text(), 10, "the line in the log")
        assert "DEBUG" not in server.log_text()
        change(server, "server.log.level", "off")
        length = len(server.log_text())
        change(server, "admission.max_queued", 6)
        assert len(server.log_text()) == length


def test_changes_at_the_same_time_all_arrive(fresh):
    keys = ["admission.max_queued", "limits.max_parameters", "admission.max_running", "admission.max_running_per_principal"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda turn: change(fresh, keys[turn % 4], 100 + turn % 4), range(40)))
    assert [get(fresh, key)["value"] for key in keys] == [100, 101, 102, 103]


class TestWhoMay:
    """One server where users must log in, with metrics on a port of their own."""

    @pytest.fixture(scope="class")
    def closed(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("closed")
        flags = ["--config", str(auth_config(folder)), *settings(metrics__listen="127.0.0.1:0")]
        with serving(folder / "data", *flags) as server:
            server.metrics = server.announced("metrics")
            yield server

    def test_only_admins_see_and_change_it(self, closed):
        ann = {"auth": ("ann", "secret")}
        for path in ["/v1/config", "/v1/config/admission.max_queued", "/v1/config/nope"]:
            expect(closed.http.get(closed.url(path), headers=BEARER), "FORBIDDEN", 403, "42501")
        expect(put(closed, "admission.max_queued", 5, headers=BEARER), "FORBIDDEN", 403, "42501")
        shown = json.dumps(closed.http.get(closed.url("/v1/config"), **ann).json())
        assert "argon2" not in shown and "sha256:" not in shown and '"ann"' in shown
        assert put(closed, "admission.max_queued", 5, **ann).status_code == 200
        assert get(closed, "admission.max_queued", **ann)["origin"] == "request of ann"

    def test_metrics_ask_for_credentials_on_their_port_too(self, closed):
        url = f"http://{closed.metrics}"
        assert requests.get(f"{url}/metrics", timeout=30).status_code == 401
        allowed = requests.get(f"{url}/metrics", headers=BEARER, timeout=30)
        assert allowed.status_code == 200 and "tidemill_queries_running" in allowed.text
        assert requests.get(f"{url}/livez", timeout=30).status_code == 200

    def test_a_writer_of_web_pages_can_not_change_it(self, closed):
        foreign = put(closed, "admission.max_queued", 9, auth=("ann", "secret"), headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert get(closed, "admission.max_queued", auth=("ann", "secret"))["value"] != 9


def test_metrics_on_a_port_of_their_own(serve):
    with serve(*settings(metrics__listen="127.0.0.1:0")) as server:
        address = server.announced("metrics")
        assert address != server.address
        server.value("SELECT 1 AS a")
        page = requests.get(f"http://{address}/metrics", timeout=30)
        assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert re.search(r'tidemill_http_requests_total\{method="POST",route="/v1/query",status="200"\} [1-9]', page.text)
        assert [requests.get(f"http://{address}{path}", timeout=30).status_code for path in ["/livez", "/readyz"]] == [200, 200]
        # Nothing else is there, and not under any name.
        assert requests.get(f"http://{address}/v1/me", timeout=30).status_code == 404
        assert requests.post(f"http://{address}/v1/query", data="SELECT 1", timeout=30).status_code == 404
        assert requests.get(f"http://{address}/metrics", headers={"Host": "evil.example"}, timeout=30).status_code == 403


def test_metrics_are_there_while_the_server_drains(serve):
    with serve(*settings(metrics__listen="127.0.0.1:0", server__drain_timeout="30s")) as server:
        address = server.announced("metrics")
        running = server.submit(ENDLESS)["id"]
        server.wait_for_state(running, "running")
        server.process.terminate()
        draining = lambda: "tidemill_draining 1" in requests.get(f"http://{address}/metrics", timeout=30).text  # noqa: E731
        wait_until(draining, 20, "the drain")
        assert requests.get(f"http://{address}/readyz", timeout=30).status_code == 503
        # A second look would wait for the drain; the query need not be waited for.
        server.kill()


def test_metrics_that_can_not_be_served_are_refused(fresh, tmp_path):
    for address, why in [("0.0.0.0:0", b"public_metrics"), ("[::]:0", b"public_metrics"), (fresh.address, b"cannot listen")]:
        flags = settings(metrics__listen=address)
        ended = run("serve", "--http", "127.0.0.1:0", "--data-dir", str(tmp_path / "other"), *flags, timeout=60)
        assert ended.returncode != 0 and b"listening" not in ended.stdout, address
        assert b"metrics.listen" in ended.stderr and why in ended.stderr, ended.stderr


def test_metrics_for_the_network_if_somebody_says_so(serve):
    with serve(*settings(metrics__listen="0.0.0.0:0", http__public_metrics="true")) as server:
        port = server.announced("metrics").rsplit(":", 1)[1]
        assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).status_code == 200


def test_metrics_share_the_certificate(tmp_path):
    cert, key = certificate(tmp_path, "one")
    flags = settings(http__tls__cert=cert, http__tls__key=key, metrics__listen="127.0.0.1:0")
    with serving(tmp_path / "data", *flags, scheme="https") as server:
        with requests.Session() as client:
            client.trust_env, client.verify = False, str(cert)
            assert client.get(f"https://{server.announced('metrics')}/metrics", timeout=30).status_code == 200
