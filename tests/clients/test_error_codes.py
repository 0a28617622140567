"""Every error code, with its status and SQLSTATE; the codes are read from the engine's own table."""

import concurrent.futures
import gzip
import re
import uuid

import pytest

from server import ROOT, serving, wait_until
from test_lifecycle import auth_config

ENDLESS = "SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100000000) b(y) WHERE x % 7 = y % 11"
MISSING = "01890a5d-ac96-774b-bcce-b302099a8057"
NATIONS = "demo.public.nation"

STATEMENTS = [
    ("SYNTAX_ERROR", 400, "42601", "SELECT 1 FROM"),
    ("SYNTAX_ERROR", 400, "42601", "SELECT 'not closed"),
    ("INVALID_SETTING", 400, "22023", "SET statement_timeout = 'soon'"),
    ("INVALID_PARAMETER", 400, "22023", "SELECT $1 + 1"),
    ("AMBIGUOUS_COLUMN", 400, "42702", f"SELECT n_name FROM {NATIONS} a CROSS JOIN {NATIONS} b"),
    ("INVALID_REQUEST", 400, "42000", f"SELECT n_name FROM {NATIONS} GROUP BY n_nationkey"),
    ("CATALOG_NOT_FOUND", 400, "3D000", "CREATE SCHEMA nope.s"),
    ("SCHEMA_NOT_FOUND", 400, "3F000", "CREATE TABLE nope.t AS SELECT 1 AS x"),
    ("TABLE_NOT_FOUND", 400, "42P01", "SELECT * FROM nope"),
    ("TABLE_NOT_FOUND", 400, "42P01", "DROP TABLE nope"),
    ("COLUMN_NOT_FOUND", 400, "42703", f"SELECT nope FROM {NATIONS}"),
    ("FUNCTION_NOT_FOUND", 400, "42883", "SELECT nope(1)"),
    ("FUNCTION_NOT_FOUND", 400, "42883", "SELECT * FROM nope(1)"),
    ("SETTING_NOT_FOUND", 400, "42704", "SHOW nope"),
    ("QUERY_NOT_FOUND", 400, "42704", f"KILL QUERY '{MISSING}'"),
    ("PREPARED_STATEMENT_NOT_FOUND", 400, "26000", "DEALLOCATE nope"),
    ("FILE_NOT_FOUND", 400, "58P01", "SELECT * FROM '/no/such/file.parquet'"),
    ("ALREADY_EXISTS", 409, "42P06", "CREATE SCHEMA public"),
    ("ALREADY_EXISTS", 409, "42P04", "CREATE DATABASE demo"),
    ("READ_ONLY", 403, "25006", {"sql": "CREATE TABLE nope AS SELECT 1 AS x", "session": {"read_only": True}}),
    ("FORBIDDEN", 403, "42501", f"DROP TABLE {NATIONS}"),
    ("FORBIDDEN", 403, "42501", "CREATE TABLE information_schema.t AS SELECT 1 AS x"),
    ("UNSUPPORTED", 501, "0A000", "BEGIN"),
    ("UNSUPPORTED", 501, "0A000", "SELECT * FROM 'ftp://host/file.csv'"),
    ("NUMERIC_OVERFLOW", 422, "22003", "SELECT value + 9223372036854775807 AS x FROM generate_series(1, 2) g(value)"),
    ("DIVISION_BY_ZERO", 422, "22012", "SELECT 1 / (value - 1) AS x FROM generate_series(1, 2) g(value)"),
    ("DATA_ERROR", 422, "22000", "SELECT CAST(s AS INT) AS x FROM (VALUES ('x')) t(s)"),
    ("TIMEOUT", 504, "57014", {"sql": ENDLESS, "timeout_ms": 50}),
    ("RESULT_TOO_LARGE", 422, "54000", {"sql": "SELECT value FROM generate_series(1, 9999) g(value)", "byte_limit": 10}),
]


@pytest.mark.parametrize(("code", "status", "sqlstate", "request_"), STATEMENTS, ids=lambda value: value if isinstance(value, str) else None)
def test_statement(demo, code, status, sqlstate, request_):
    expect(demo.post(request_), code, status, sqlstate)


@pytest.mark.parametrize(("code", "status", "sqlstate", "request_"), STATEMENTS, ids=lambda value: value if isinstance(value, str) else None)
def test_history_tells_the_same(demo, code, status, sqlstate, request_):
    """What an asynchronous query failed with is what the client would have been answered."""
    body = {"sql": request_} if isinstance(request_, str) else request_
    submitted = demo.post(body, headers={"Prefer": "respond-async"})
    if submitted.status_code != 202:
        return expect(submitted, code, status, sqlstate)
    ended = demo.wait_for_state(submitted.json()["id"], "failed")
    assert (ended["error"]["code"], ended["error"]["sqlstate"]) == (code, sqlstate)
    expect(demo.http.get(demo.url(f"{ended['links']['result']}")), code, status, sqlstate)


def expect(response, code, status, sqlstate):
    problem = response.json()
    assert (problem["code"], response.status_code, problem["sqlstate"]) == (code, status, sqlstate), problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["type"] == "urn:tidemill:error:" + code.lower().replace("_", "-")


def test_conflicts(fresh):
    session = fresh.http.post(fresh.url("/v1/sessions"), json={}).json()["id"]
    run = lambda sql: fresh.post({"sql": sql, "session_id": session})  # noqa: E731
    for made in ["CREATE SCHEMA s", "CREATE TABLE s.t AS SELECT 1 AS x", "PREPARE p AS SELECT 1", "CREATE VIEW v AS SELECT 1 AS x"]:
        assert run(made).status_code == 200
    expect(run("CREATE TABLE s.t AS SELECT 1 AS x"), "ALREADY_EXISTS", 409, "42P07")
    expect(run("CREATE VIEW s.t AS SELECT 1 AS x"), "ALREADY_EXISTS", 409, "42P07")
    expect(run("CREATE OR REPLACE TABLE v AS SELECT 1 AS x"), "ALREADY_EXISTS", 409, "42P07")
    expect(run("PREPARE p AS SELECT 2"), "ALREADY_EXISTS", 409, "42P05")
    expect(run("DROP SCHEMA s"), "DEPENDENTS_EXIST", 409, "2BP01")
    assert run("DROP SCHEMA s CASCADE").status_code == 200


def test_constraints(fresh):
    session = fresh.http.post(fresh.url("/v1/sessions"), json={}).json()["id"]
    run = lambda sql: fresh.post({"sql": sql, "session_id": session})  # noqa: E731
    assert run("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL DEFAULT 1 CHECK (n > 0))").status_code == 200
    assert run("INSERT INTO t (id) VALUES (1), (2)").status_code == 200
    expect(run("INSERT INTO t (id) VALUES (3), (1)"), "UNIQUE_VIOLATION", 409, "23505")
    expect(run("INSERT INTO t VALUES (3, NULL)"), "NOT_NULL_VIOLATION", 422, "23502")
    expect(run("UPDATE t SET n = 0"), "CHECK_VIOLATION", 422, "23514")
    twice = "MERGE INTO t USING (VALUES (1), (1)) AS s(x) ON t.id = s.x WHEN MATCHED THEN DELETE"
    expect(run(twice), "CARDINALITY_VIOLATION", 422, "21000")
    unknown = "INSERT INTO t VALUES (9, 1) ON CONFLICT ON CONSTRAINT nope DO NOTHING"
    expect(run(unknown), "CONSTRAINT_NOT_FOUND", 400, "42704")
    expect(run("ALTER TABLE t DROP CONSTRAINT nope"), "CONSTRAINT_NOT_FOUND", 400, "42704")
    assert run("SELECT count(*), sum(n) FROM t").json()["rows"] == [[2, 2]]


def test_changes_at_the_same_time(fresh):
    """Each statement that succeeds counts, also beside those that alter the table or make it anew from itself."""
    assert fresh.post("CREATE TABLE t AS SELECT 0 AS n").status_code == 200

    def write(number: int):
        sql = {
            0: f"ALTER TABLE t ADD COLUMN c{number} INT DEFAULT {number}",
            1: "CREATE OR REPLACE TABLE t AS SELECT n + 1 AS n FROM t",
            2: "UPDATE t SET n = n + 1",
            3: "MERGE INTO t USING (VALUES (1)) AS s(x) ON true WHEN MATCHED THEN UPDATE SET n = t.n + s.x",
        }[number % 4]
        response = fresh.post(sql)
        if response.status_code != 200:
            expect(response, "CONCURRENT_CHANGE", 409, "40001")
        return response.status_code == 200 and number % 4 > 0

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        counted = sum(pool.map(write, range(80)))
    assert counted > 0 and fresh.rows("SELECT n FROM t") == [(counted,)]


@pytest.mark.parametrize(
    "sql",
    ["TRUNCATE TABLE t", "MERGE INTO t USING (VALUES (1)) AS s(x) ON t.x = s.x WHEN MATCHED THEN DELETE", "ALTER TABLE t DROP COLUMN x"],
)
def test_a_get_changes_no_table(fresh, sql):
    assert fresh.post("CREATE TABLE t AS SELECT 1 AS x, 2 AS y").status_code == 200
    response = fresh.http.get(fresh.url("/v1/query"), params={"sql": sql})
    expect(response, "READ_ONLY", 403, "25006")
    assert fresh.post("SELECT x FROM t").json()["rows"] == [[1]]


def test_conflicts_of_requests(demo):
    chosen = {"X-Query-Id": MISSING[:-12] + uuid.uuid4().hex[:12]}
    assert demo.post("SELECT 1 AS a", headers=chosen).status_code == 200
    expect(demo.post("SELECT 1 AS a", headers=chosen), "QUERY_EXISTS", 409, "42710")
    key = {"Idempotency-Key": uuid.uuid4().hex}
    assert demo.post("SELECT 1 AS a", headers=key).status_code == 200
    expect(demo.post("SELECT 2 AS a", headers=key), "IDEMPOTENCY_CONFLICT", 409, "42710")
    expect(demo.post({"sql": "SELECT 1", "session_id": "nope"}), "SESSION_NOT_FOUND", 404, "42704")
    expect(demo.http.post(demo.url("/v1/nodes/nope/drain")), "NODE_NOT_FOUND", 404, "42704")


def test_whoever_waits_for_a_cancelled_query_is_told(demo):
    chosen = MISSING[:-12] + uuid.uuid4().hex[:12]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(demo.post, ENDLESS, headers={"X-Query-Id": chosen})
        wait_for_running(demo, chosen)
        assert demo.http.delete(demo.url(f"/v1/queries/{chosen}")).status_code == 202
        response = waiting.result(30)
    expect(response, "CANCELLED", 499, "57014")
    assert response.json()["query_id"] == chosen


def wait_for_running(server, query_id):
    """The query may not have arrived yet."""
    known = lambda: server.http.get(server.url(f"/v1/queries/{query_id}")).status_code == 200  # noqa: E731
    wait_until(known, 20, "the query to arrive")
    server.wait_for_state(query_id, "running")


def test_a_forbidden_role(tmp_path):
    with serving(tmp_path / "data", "--config", str(auth_config(tmp_path))) as server:
        bearer = {"Authorization": "Bearer tm-test-token"}
        refused = server.post("CREATE TABLE t AS SELECT 1 AS x", headers=bearer)
        expect(refused, "FORBIDDEN", 403, "42501")
        assert "writer" in refused.json()["hint"]


@pytest.mark.parametrize(
    ("method", "path", "options", "code", "status"),
    [
        ("GET", "/v1/nope", {}, "ROUTE_NOT_FOUND", 404),
        ("PUT", "/v1/query", {}, "METHOD_NOT_ALLOWED", 405),
        ("POST", "/v1/query", {"data": "SELECT 1", "headers": {"Accept": "image/png"}}, "NOT_ACCEPTABLE", 406),
        ("POST", "/v1/query", {"data": "SELECT 1", "headers": {"Content-Type": "image/png"}}, "UNSUPPORTED_MEDIA_TYPE", 415),
        ("POST", "/v1/query", {"data": gzip.compress(b"SELECT 1"), "headers": {"Content-Encoding": "gzip"}}, "UNSUPPORTED_CONTENT_ENCODING", 415),
        ("POST", "/v1/sessions", {"data": gzip.compress(b"{}"), "headers": {"Content-Encoding": "gzip"}}, "UNSUPPORTED_CONTENT_ENCODING", 415),
        ("POST", "/v1/sessions", {"data": "a=1", "headers": {"Content-Type": "text/plain"}}, "UNSUPPORTED_MEDIA_TYPE", 415),
        ("GET", "/v1/me", {"headers": {"Host": "evil.example"}}, "FORBIDDEN", 403),
    ],
)
def test_problems_of_the_protocol(demo, method, path, options, code, status):
    response = demo.http.request(method, demo.url(path), **options)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_range_beyond_the_end(demo):
    status = demo.submit("SELECT 1 AS a")
    demo.wait_for_state(status["id"], "finished")
    headers = {"Accept": "application/vnd.apache.parquet", "Range": "bytes=99999-"}
    response = demo.http.get(demo.url(f"/v1/queries/{status['id']}/result"), headers=headers)
    assert (response.status_code, response.json()["code"]) == (416, "RANGE_NOT_SATISFIABLE")
    assert response.headers["Content-Range"].startswith("bytes */")


def test_every_code_is_tested():
    """A new code needs a test; three can not be provoked at will."""
    table = (ROOT / "crates/engine/src/error/classify.rs").read_text()
    codes = set(re.findall(r'=> "([A-Z]{3}[A-Z_]+)"', table)) - {"INTERNAL", "NOT_FOUND", "CONCURRENT_CHANGE"}
    tests = "".join(path.read_text() for path in (ROOT / "tests/clients").glob("test_*.py"))
    assert len(codes) > 30 and {code for code in codes if f'"{code}"' not in tests} == set()
