"""POST and GET /v1/query: parameters, sessions, settings, limits, errors."""

import uuid

import pytest


def test_positional_and_named_parameters(demo):
    assert demo.value({"sql": "SELECT $1 + $2 AS s", "params": [40, 2]}) == 42
    assert demo.value({"sql": "SELECT upper(?) AS s", "params": ["abc"]}) == "ABC"
    assert demo.value({"sql": "SELECT $name || '!' AS s", "params": {"name": "it's"}}) == "it's!"
    assert demo.value({"sql": "SELECT count(*) FROM demo.public.nation WHERE n_name = $1", "params": ["GERMANY"]}) == 1
    assert demo.value({"sql": "SELECT $1 IS NULL AS n", "params": [None]}) is True


def test_numbers_among_the_parameters_keep_their_digits(demo):
    for sent, type_name in [
        ("12345678901234567890.12", "Decimal128(22, 2)"),
        ("-9223372036854775809", "Decimal128(19, 0)"),
        ('{"type": "DECIMAL(30,2)", "value": 12345678901234567890.12}', "Decimal128(30, 2)"),
        ("0.5", "Float64"),
    ]:
        # Python would round them on the way.
        body = '{"sql": "SELECT CAST(x AS VARCHAR), arrow_typeof(x) FROM (SELECT $1 AS x) AS v", "params": [%s]}' % sent
        rows = demo.http.post(demo.url("/v1/query"), data=body, headers={"Content-Type": "application/json"}).json()["rows"]
        digits = sent if sent[0] != "{" else "12345678901234567890.12"
        assert rows == [[digits, type_name]], sent


def test_a_parameter_is_never_sql(demo):
    text = "x' OR '1' = '1"
    assert demo.value({"sql": "SELECT $1 AS s", "params": [text]}) == text


def test_missing_parameter(demo):
    problem = demo.post({"sql": "SELECT $1 + 1"}).json()
    assert problem["status"] == 400 and "$1" in problem["detail"]


def test_get_runs_reads_and_refuses_writes(demo):
    answer = demo.http.get(demo.url("/v1/query"), params={"sql": "SELECT 1 AS a"}, headers={"Accept": "application/json"})
    assert answer.json()["rows"] == [[1]]
    for sql in ["CREATE TABLE get_wrote AS SELECT 1 AS x", "COPY (SELECT 1) TO '/tmp/get_wrote.csv'", "CREATE SCHEMA get_wrote"]:
        refused = demo.http.get(demo.url("/v1/query"), params={"sql": sql})
        assert refused.status_code == 403, sql
        assert refused.json()["code"] == "READ_ONLY"


def test_row_limit_and_byte_limit(demo):
    assert len(demo.rows({"sql": "SELECT * FROM generate_series(1, 1000)", "row_limit": 7})) == 7
    response = demo.post({"sql": "SELECT repeat('x', 1000) AS s FROM generate_series(1, 10000)", "byte_limit": 1000})
    assert response.status_code != 200 or "error" in response.json()


def test_catalog_schema_and_settings_of_one_request(demo):
    assert demo.value({"sql": "SELECT count(*) FROM nation", "catalog": "demo", "schema": "public"}) == 25
    zone = demo.value({"sql": "SHOW time_zone", "session": {"time_zone": "Asia/Tokyo"}})
    assert zone == "Asia/Tokyo"
    assert demo.value("SHOW time_zone") == "UTC"
    bad = demo.post({"sql": "SELECT 1", "session": {"priority": "urgent"}})
    assert bad.status_code == 400 and "priority" in bad.json()["detail"]


def test_timeout(demo):
    sql = "SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100000000) b(y) WHERE x % 7 = y % 11"
    response = demo.post({"sql": sql, "timeout_ms": 200})
    assert response.status_code == 504
    assert response.json()["code"] == "TIMEOUT"


def test_query_id_is_the_clients_if_it_chooses(demo):
    chosen = str(uuid.UUID("01890a5d-ac96-774b-bcce-" + uuid.uuid4().hex[:12]))
    response = demo.post("SELECT 1 AS a", headers={"X-Query-Id": chosen})
    assert response.headers["X-Query-Id"] == chosen
    assert demo.status(chosen)["state"] == "finished"
    assert demo.post("SELECT 1 AS a", headers={"X-Query-Id": chosen}).status_code == 409


def test_tags_client_and_trace_reach_history(demo):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = demo.post({"sql": "SELECT 'tagged' AS t", "tags": {"team": "blue"}}, headers={"traceparent": trace, "User-Agent": "clienttest/1"})
    status = demo.status(response.headers["X-Query-Id"])
    assert status["tags"] == {"team": "blue"}
    assert status["client"].startswith("clienttest/1")
    assert trace.split("-")[1] in (status["traceparent"] or "")


def test_dry_run_and_explain(demo):
    dry = demo.post({"sql": "CREATE TABLE dry_run_made AS SELECT 1 AS x", "dry_run": True})
    assert dry.status_code == 200, dry.text
    assert demo.post("SELECT * FROM dry_run_made").json()["code"] == "TABLE_NOT_FOUND"
    plan = demo.post({"sql": "SELECT o_orderstatus, count(*) FROM demo.public.orders GROUP BY 1", "explain": "plan"}, "text/plain")
    assert plan.status_code == 200 and "orders" in plan.text
    # A plan has lines, and stays in its column.
    lines = plan.text.splitlines()
    assert "\\n" not in plan.text and len({line.index("|", 1) for line in lines if line.startswith("|")}) == 1
    assert sum("Exec" in line for line in lines) > 2
    rendered = demo.post("EXPLAIN SELECT count(*) FROM demo.public.orders", "text/markdown").text
    assert "<br>" in rendered and "\\n" not in rendered
    for explain in [True, "verbose"]:
        problem = demo.post({"sql": "SELECT 1", "explain": explain})
        assert problem.status_code == 400 and '"plan"' in problem.json()["detail"] and '"analyze"' in problem.json()["detail"]


def test_sessions_keep_settings_views_and_prepared_statements(demo):
    session = demo.http.post(demo.url("/v1/sessions"), json={}).json()
    run = lambda sql: demo.post({"sql": sql, "session_id": session["id"]})  # noqa: E731
    assert run("SET time_zone = 'Europe/Paris'").status_code == 200
    assert run("SHOW time_zone").json()["rows"] == [["Europe/Paris"]]
    assert run("PREPARE p AS SELECT $1 * 2 AS d").status_code == 200
    assert run("EXECUTE p(21)").json()["rows"] == [[42]]
    assert demo.http.delete(demo.url(f"/v1/sessions/{session['id']}")).status_code in (200, 204)
    gone = run("SELECT 1")
    assert gone.json()["code"] == "SESSION_NOT_FOUND"


def test_idempotency_key(fresh):
    fresh.post("CREATE TABLE counted AS SELECT 1 AS x")
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = fresh.post("INSERT INTO counted VALUES (2)", headers=key)
    again = fresh.post("INSERT INTO counted VALUES (2)", headers=key)
    assert first.status_code == again.status_code == 200
    assert fresh.value("SELECT count(*) FROM counted") == 2
    other = fresh.post("INSERT INTO counted VALUES (3)", headers=key)
    assert other.status_code == 409 and other.json()["code"] == "IDEMPOTENCY_CONFLICT"


ERRORS = [
    ("SELEC 1", 400, "SYNTAX_ERROR"),
    ("SELECT nope FROM demo.public.nation", 400, "COLUMN_NOT_FOUND"),
    ("SELECT * FROM nope", 400, "TABLE_NOT_FOUND"),
    ("SELECT * FROM nope.public.t", 400, None),
    ("SELECT nope(1)", 400, "FUNCTION_NOT_FOUND"),
    ("SET no_such_setting = 1", 400, "SETTING_NOT_FOUND"),
    ("SET priority = 'urgent'", 400, "INVALID_SETTING"),
    ("EXECUTE nope", 400, "PREPARED_STATEMENT_NOT_FOUND"),
    ("SELECT 1 / 0", 422, "DIVISION_BY_ZERO"),
    ("SELECT CAST(s AS INT) FROM (VALUES ('x')) t(s)", 422, "DATA_ERROR"),
    ("CREATE SCHEMA public", 409, "ALREADY_EXISTS"),
    ("KILL QUERY '01890a5d-ac96-774b-bcce-b302099a8057'", None, "QUERY_NOT_FOUND"),
    ("", 400, None),
    ("SELECT 1; SELECT 2", 400, "SYNTAX_ERROR"),
]


@pytest.mark.parametrize(("sql", "status", "code"), ERRORS)
def test_errors_are_problem_documents(demo, sql, status, code):
    response = demo.post({"sql": sql})
    assert response.headers["Content-Type"].startswith("application/problem+json"), response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    assert 400 <= response.status_code < 500, problem
    assert status is None or response.status_code == status, problem
    assert code is None or problem["code"] == code, problem
    assert problem["detail"] and problem["title"] and problem["type"]
    assert isinstance(problem["retryable"], bool)


def test_suggestions_and_positions(demo):
    problem = demo.post("SELECT n_nme\nFROM demo.public.nation").json()
    assert problem["did_you_mean"] and "n_name" in problem["did_you_mean"][0]
    problem = demo.post("SELECT 1,\n  2\n  3 4").json()
    assert problem["position"] == {"line": 3, "column": 3, "offset": 16, "length": 1}
    # Offset and length count characters, so that a client in Python can cut the text.
    sql = "SELECT 'größe 😀',\n  n.n_nme\nFROM demo.public.nation n"
    place = demo.post(sql).json()["position"]
    assert sql[place["offset"] : place["offset"] + place["length"]] == "n.n_nme" and place["line"] == 2
    place = demo.post("SELECT 1 +").json()["position"]
    assert (place["offset"], place["length"]) == (10, 1)


def test_bodies_that_are_no_requests(demo):
    post = lambda data, kind: demo.http.post(demo.url("/v1/query"), data=data, headers={"Content-Type": kind})  # noqa: E731
    assert post("{", "application/json").status_code == 400
    assert post('{"sql": 5}', "application/json").status_code in (400, 422)
    assert post('{"sql": "SELECT 1", "no_such_field": 1}', "application/json").status_code in (400, 422)
    assert post("SELECT 1", "application/pdf").status_code == 415
    assert post(b"\xff\xfe", "application/sql").status_code == 400
    assert post("x" * (64 << 20), "application/sql").status_code == 413
    assert demo.http.get(demo.url("/v1/nothing/here")).status_code == 404
    assert demo.http.put(demo.url("/v1/query"), data="SELECT 1").status_code == 405


def test_a_failure_in_mid_stream_is_no_success(demo):
    # Rows come first, the division by zero long after the status line.
    sql = "SELECT 1000 / (value - 900000) AS x FROM generate_series(1, 1000000) g(value)"
    for accept in ["application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"]:
        try:
            response = demo.post({"sql": sql, "session": {"target_partitions": "1"}}, accept)
        except (OSError, ValueError):
            continue  # the connection broke: the client knows
        if response.status_code != 200:
            continue
        assert "error" in response.text[-2000:], accept


def test_metadata_routes(demo):
    get = lambda path: demo.http.get(demo.url(path))  # noqa: E731
    for path in ["/livez", "/readyz", "/version", "/v1/catalogs", "/v1/catalogs/demo/schemas", "/v1/functions", "/v1/nodes", "/v1/queries", "/v1/sessions"]:
        assert get(path).status_code == 200, path
    tables = get("/v1/catalogs/demo/schemas/public/tables").text
    assert "lineitem" in tables and "timeseries" in tables
    detail = get("/v1/catalogs/demo/schemas/public/tables/nation").text
    assert "n_nationkey" in detail
    assert get("/v1/catalogs/nope/schemas").status_code == 404
    metrics = get("/metrics")
    assert metrics.status_code == 200 and "# TYPE" in metrics.text
    assert get("/v1/openapi.json").json()["openapi"].startswith("3.")


def test_validate_and_explain_routes(demo):
    valid = demo.http.post(demo.url("/v1/validate"), json={"sql": "SELECT n_name FROM demo.public.nation WHERE n_nationkey = $1"})
    assert valid.status_code == 200, valid.text
    assert "n_name" in valid.text and "nation" in valid.text
    invalid = demo.http.post(demo.url("/v1/validate"), json={"sql": "SELECT nope FROM demo.public.nation"})
    assert invalid.status_code == 400
    explained = demo.http.post(demo.url("/v1/explain"), json={"sql": "SELECT count(*) FROM demo.public.nation"})
    assert explained.status_code == 200 and "nation" in explained.text
