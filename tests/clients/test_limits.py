"""The engine's limits: what happens at each, told by an error that names the key to change."""

import concurrent.futures

import pytest

from server import serving, wait_until
from test_error_codes import expect

ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100000000) b(y) WHERE x % 7 = y % 11"
BIG_SORT = "SELECT count(*), max(r) FROM (SELECT row_number() OVER (ORDER BY (value * 7919) % 1000003) AS r FROM generate_series(1, 2000000) g(value)) t"
NOISE = "SELECT random() AS x, random() AS y FROM generate_series(1, 50000)"


def settings(**values):
    """`--set` flags; `__` in a name is a dot."""
    return [part for name, value in values.items() for part in ("--set", f"{name.replace('__', '.')}={value}")]


def names_key(response, key):
    problem = response.json()
    assert key in problem["detail"] + " " + (problem.get("hint") or ""), problem


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of three small files that statements may name."""
    folder = tmp_path_factory.mktemp("allowed")
    for number in range(3):
        (folder / f"{number}.csv").write_text(f"k\n{number}\n")
    return folder


@pytest.fixture(scope="module")
def tight(tmp_path_factory, files):
    """One server on which everything is scarce."""
    flags = settings(
        limits__max_sql_bytes="2KiB",
        limits__max_parameters=2,
        limits__max_statement_timeout="20s",
        sessions__max_per_principal=3,
        sessions__max_prepared=1,
        sessions__max_temporary_views=1,
        history__max_sql_bytes="100B",
        memory__limit="256MiB",
        memory__per_query="64MiB",
        memory__tables="1MiB",
        spill__max_bytes_per_query="1MiB",
        results__max_bytes_per_query="100KiB",
        results__part_bytes="16KiB",
        storage__allowed=f'["file://{files}/", "http://127.0.0.1:1/"]',
        storage__max_files_per_scan=2,
        storage__max_retries=0,
        storage__request_timeout="1s",
    )
    with serving(tmp_path_factory.mktemp("tight"), *flags) as server:
        yield server


@pytest.fixture
def session(tight):
    session = tight.http.post(tight.url("/v1/sessions"), json={}).json()["id"]
    yield session
    tight.http.delete(tight.url(f"/v1/sessions/{session}"))


def test_length_of_a_statement(tight):
    within = "SELECT 1 AS a --"
    assert tight.post(within + "x" * (2048 - len(within))).status_code == 200
    response = tight.post(within + "x" * (2049 - len(within)))
    assert response.status_code == 400
    names_key(response, "limits.max_sql_bytes")


def test_number_of_parameters(tight):
    assert tight.value({"sql": "SELECT $1 + $2 AS s", "params": [1, 2]}) == 3
    response = tight.post({"sql": "SELECT $1 + $2 + $3 AS s", "params": [1, 2, 3]})
    assert response.status_code == 400
    names_key(response, "limits.max_parameters")


def test_sessions_of_one_principal(tight):
    open_one = lambda: tight.http.post(tight.url("/v1/sessions"), json={})  # noqa: E731
    opened = [open_one() for _ in range(3)]
    refused = open_one()
    expect(refused, "TOO_MANY_REQUESTS", 429, "53300")
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"]
    assert (refused.headers["RateLimit-Limit"], refused.headers["RateLimit-Remaining"]) == ("3", "0")
    names_key(refused, "sessions.max_per_principal")
    for response in opened:
        assert tight.http.delete(tight.url(f"/v1/sessions/{response.json()['id']}")).status_code == 204
    again = open_one()
    assert again.status_code == 201
    tight.http.delete(tight.url(f"/v1/sessions/{again.json()['id']}"))


@pytest.mark.parametrize(
    ("first", "second", "undo", "key"),
    [
        ("PREPARE a AS SELECT 1", "PREPARE b AS SELECT 1", "DEALLOCATE a", "sessions.max_prepared"),
        ("CREATE TEMPORARY VIEW a AS SELECT 1 AS x", "CREATE TEMPORARY VIEW b AS SELECT 1 AS x", "DROP VIEW a", "sessions.max_temporary_views"),
    ],
)
def test_what_a_session_holds(tight, session, first, second, undo, key):
    run = lambda sql: tight.post({"sql": sql, "session_id": session})  # noqa: E731
    assert run(first).status_code == 200
    refused = run(second)
    expect(refused, "RESOURCES_EXHAUSTED", 507, "54000")
    names_key(refused, key)
    assert run(undo).status_code == 200
    assert run(second).status_code == 200


def test_text_kept_in_history_is_cut(tight):
    response = tight.post(f"SELECT '{'ä' * 300}' AS long")
    kept = tight.status(response.headers["X-Query-Id"])["sql"]
    assert kept.startswith("SELECT 'ää") and len(kept.encode()) < 120


def test_memory_of_one_query(tight):
    response = tight.post("SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 1000000)")
    expect(response, "OUT_OF_MEMORY", 507, "53200")
    names_key(response, "memory.per_query")


def test_memory_that_a_session_allows_its_queries(tight):
    body = {"sql": "SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 1000000)", "session": {"memory_limit": "8MiB"}}
    response = tight.post(body)
    expect(response, "OUT_OF_MEMORY", 507, "53200")
    names_key(response, "memory_limit")


def test_memory_of_tables(tight):
    response = tight.post("CREATE TABLE large AS SELECT value, repeat('x', 100) AS pad FROM generate_series(1, 100000) g(value)")
    expect(response, "OUT_OF_MEMORY", 507, "53200")
    names_key(response, "memory.tables")
    assert tight.post("SELECT * FROM large").json()["code"] == "TABLE_NOT_FOUND"
    assert tight.post("CREATE TABLE small AS SELECT 1 AS x").status_code == 200


def test_disk_of_one_query(tight):
    response = tight.post({"sql": BIG_SORT, "session": {"memory_limit": "32MiB"}})
    expect(response, "DISK_QUOTA_EXCEEDED", 507, "53100")
    names_key(response, "spill.max_bytes_per_query")
    tight.at_rest()


def test_disk_of_the_results_of_one_principal(serve):
    with serve(*settings(results__max_bytes_per_principal="100KiB")) as server:
        status = server.submit(NOISE)
        ended = server.wait_for_state(status["id"], "failed")
        assert ended["error"]["code"] == "DISK_QUOTA_EXCEEDED" and "results.max_bytes_per_principal" in ended["error"]["message"]


def test_disk_of_one_result(tight):
    status = tight.submit(NOISE)
    ended = tight.wait_for_state(status["id"], "failed")
    assert ended["error"]["code"] == "DISK_QUOTA_EXCEEDED" and not ended["result"]
    response = tight.http.get(tight.url(ended["links"]["result"]))
    expect(response, "DISK_QUOTA_EXCEEDED", 507, "53100")
    names_key(response, "results.max_bytes_per_query")


def test_size_of_a_part(tight):
    status = tight.submit("SELECT value FROM generate_series(1, 60000) g(value)")
    assert tight.wait_for_state(status["id"], "finished")["result"]["parts"] > 1


def test_what_statements_may_name(tight, files):
    assert tight.value(f"SELECT count(*) FROM '{files}/0.csv'") == 1
    for url in [f"{files}/../elsewhere/x.csv", "/etc/passwd.csv", "http://127.0.0.1:2/x.csv", "http://127.0.0.1:11/x.csv", "s3://bucket/x.csv"]:
        for sql in [f"SELECT * FROM '{url}'", f"COPY (SELECT 1 AS a) TO '{url}'"]:
            response = tight.post(sql)
            if sql.startswith("COPY") and url.startswith("http"):
                # Nothing can be written there, allowed or not.
                expect(response, "INVALID_REQUEST", 400, "42000")
                continue
            expect(response, "FORBIDDEN", 403, "42501")
            names_key(response, "storage.allowed")


def test_the_servers_own_data_is_private(fresh):
    for path in [fresh.data_dir / "x.csv", fresh.data_dir / "results" / "x.parquet", fresh.data_dir / "spill" / ".." / "x.csv"]:
        expect(fresh.post(f"SELECT * FROM '{path}'"), "FORBIDDEN", 403, "42501")
        expect(fresh.post(f"COPY (SELECT 1 AS a) TO '{path}'"), "FORBIDDEN", 403, "42501")


def test_files_of_one_scan(tight, files):
    assert tight.value(f"SELECT count(*) FROM '{files}/[01].csv'") == 2
    response = tight.post(f"SELECT * FROM '{files}/*.csv'")
    expect(response, "RESOURCES_EXHAUSTED", 507, "54000")
    names_key(response, "storage.max_files_per_scan")


def test_a_store_that_does_not_answer(tight):
    response = tight.post("SELECT * FROM 'http://127.0.0.1:1/x.csv'")
    expect(response, "STORAGE_ERROR", 502, "58030")
    assert response.json()["retryable"] and "127.0.0.1:1" in response.json()["detail"]


def test_the_longest_deadline_of_a_session(serve):
    with serve(*settings(limits__max_statement_timeout="300ms")) as server:
        for timeout in ["0", "1h"]:
            response = server.post({"sql": ENDLESS, "session": {"statement_timeout": timeout}, "timeout_ms": 3_600_000})
            expect(response, "TIMEOUT", 504, "57014")


def test_disk_of_all_queries(serve):
    with serve(*settings(memory__limit="256MiB", memory__per_query="64MiB", spill__max_bytes="1MiB")) as server:
        response = server.post({"sql": BIG_SORT, "session": {"memory_limit": "32MiB"}})
        expect(response, "DISK_QUOTA_EXCEEDED", 507, "53100")
        names_key(response, "spill.max_bytes")
        server.at_rest()


def test_directories_that_queries_spill_to(serve, tmp_path):
    places = [tmp_path / "one", tmp_path / "two"]
    listed = ", ".join(f'"{place}"' for place in places)
    with serve(*settings(memory__limit="256MiB", memory__per_query="64MiB", spill__directories=f"[{listed}]")) as server:
        response = server.post({"sql": BIG_SORT, "session": {"memory_limit": "32MiB"}})
        assert response.json()["rows"] == [[2000000, 2000000]]
        assert server.status(response.headers["X-Query-Id"])["progress"]["spilled_bytes"] > 0
        assert not (server.data_dir / "spill").exists()
        server.at_rest()
        assert [path for place in places for path in place.rglob("*") if path.is_file()] == []


def test_memory_of_all_queries(serve):
    """Two queries within their own limits that do not fit together: one may fail, the server goes on."""
    with serve(*settings(memory__limit="64MiB", memory__per_query="100%", spill__max_bytes="0B")) as server:
        sql = "SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 100000)"
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: server.post(sql), range(4)))
        for response in answers:
            if response.status_code != 200:
                expect(response, "OUT_OF_MEMORY", 507, "53200")
                names_key(response, "memory.")
        server.at_rest()
        assert server.value("SELECT 1") == 1


def test_disk_of_all_results(serve):
    with serve(*settings(results__max_bytes="1MiB")) as server:
        first = server.submit(NOISE)["id"]
        assert server.wait_for_state(first, "finished")["result"]["bytes"] > 600_000
        second = server.submit(NOISE)["id"]
        ended = server.wait_for_state(second, "failed")
        assert ended["error"]["code"] == "DISK_QUOTA_EXCEEDED" and "results.max_bytes" in ended["error"]["message"]
        # What is kept already stays.
        assert server.http.get(server.url(f"/v1/queries/{first}/result"), headers={"Accept": "text/csv"}).text.count("\n") == 50001


def test_sessions_of_the_server_end(serve):
    with serve(*settings(sessions__max=1, sessions__idle_timeout="1s")) as server:
        session = server.http.post(server.url("/v1/sessions"), json={}).json()["id"]
        refused = server.http.post(server.url("/v1/sessions"), json={})
        expect(refused, "TOO_MANY_REQUESTS", 429, "53300")
        names_key(refused, "sessions.max")
        # The listing is no use of a session.
        wait_until(lambda: not server.http.get(server.url("/v1/sessions")).json()["sessions"], 20, "the end of the idle session")
        expect(server.post({"sql": "SELECT 1", "session_id": session}), "SESSION_NOT_FOUND", 404, "42704")
        assert server.http.post(server.url("/v1/sessions"), json={}).status_code == 201


def test_a_busy_session_is_not_idle(serve):
    with serve(*settings(sessions__idle_timeout="1s")) as server:
        session = server.http.post(server.url("/v1/sessions"), json={}).json()["id"]
        running = server.submit(ENDLESS, session_id=session)["id"]
        idle = server.http.post(server.url("/v1/sessions"), json={}).json()["id"]
        ids = lambda: [entry["id"] for entry in server.http.get(server.url("/v1/sessions")).json()["sessions"]]  # noqa: E731
        wait_until(lambda: idle not in ids(), 20, "the end of the idle session")
        assert ids() == [session]
        assert server.http.delete(server.url(f"/v1/queries/{running}")).status_code == 202


def test_history_in_memory_and_on_disk(serve):
    with serve(*settings(history__memory_entries=2, history__stored_entries=0)) as server:
        ids = [server.post(f"SELECT {number} AS n").headers["X-Query-Id"] for number in range(4)]
        kept = [query["id"] for query in server.http.get(server.url("/v1/queries")).json()["queries"]]
        assert kept == ids[:1:-1]
        assert server.http.get(server.url(f"/v1/queries/{ids[0]}")).status_code == 404


def test_old_history_is_deleted(serve):
    with serve(*settings(history__memory_entries=0, history__retention="1s")) as server:
        old = server.post("SELECT 'old' AS s").headers["X-Query-Id"]
        wait_until(lambda: server.http.get(server.url(f"/v1/queries/{old}")).status_code == 404, 30, "the end of the old query")


def test_admission_by_principal_and_by_time(serve):
    flags = settings(admission__max_running_per_principal=1, admission__queue_timeout="300ms")
    with serve(*flags) as server:
        running = server.submit(ENDLESS)["id"]
        server.wait_for_state(running, "running")
        refused = server.post("SELECT count(*) FROM generate_series(1, 10)")
        expect(refused, "TOO_MANY_REQUESTS", 429, "53300")
        names_key(refused, "admission.queue_timeout")
        assert refused.json()["retryable"] and refused.headers["Retry-After"]
        server.http.delete(server.url(f"/v1/queries/{running}"))
        server.at_rest()


def test_admission_that_refuses_at_once(serve):
    with serve(*settings(admission__max_running=1, admission__when_full="refuse")) as server:
        running = server.submit(ENDLESS)["id"]
        server.wait_for_state(running, "running")
        refused = server.post("SELECT count(*) FROM generate_series(1, 10)")
        expect(refused, "TOO_MANY_REQUESTS", 429, "53300")
        names_key(refused, "admission.max_running")
        assert [refused.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")] == ["1", "0", "1"]
        server.http.delete(server.url(f"/v1/queries/{running}"))
        server.at_rest()
        assert server.value("SELECT count(*) FROM generate_series(1, 10)") == 10
