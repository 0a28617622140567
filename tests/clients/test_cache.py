"""The result cache: a cached answer equals a fresh one, unless the client allows it to be older."""

import concurrent.futures
import threading

import pytest

from caching import ask, cache_metrics, cached, server  # noqa: F401 - a fixture among them
from server import serving, wait_until
from test_lifecycle import TOKEN, auth_config


def test_a_hit_is_a_query_of_its_own(server):
    before = cache_metrics(server)
    first, second = (server.post("SELECT sum(n) AS total FROM t") for _ in range(2))
    assert [response.headers["X-Cache"] for response in (first, second)] == ["miss", "hit"]
    assert "Age" not in first.headers and second.headers["Age"] == "0"
    assert first.json()["rows"] == second.json()["rows"] == [[6]]
    ids = [response.headers["X-Query-Id"] for response in (first, second)]
    assert ids[0] != ids[1] and second.json()["stats"]["query_id"] == ids[1]
    statuses = [server.status(query) for query in ids]
    assert [status["cache"] for status in statuses] == ["miss", "hit"]
    assert [status["state"] for status in statuses] == ["finished", "finished"]
    assert statuses[1]["progress"]["rows_read"] == 0 and statuses[1]["progress"]["rows_produced"] == 1
    listed = dict(server.rows("SELECT id, cache FROM system.queries"))
    assert [listed[query] for query in ids] == ["miss", "hit"]
    after = cache_metrics(server)
    for status in ["hit", "miss"]:
        name = f'answers_total{{status="{status}"}}'
        assert after[name] == before[name] + 1
    assert after["entries"] == before["entries"] + 1
    ((bytes_held,),) = server.rows("SELECT used_bytes FROM system.memory WHERE name = 'cache'")
    assert bytes_held == after["bytes"] > before["bytes"]


def test_how_a_statement_is_written_does_not_matter_but_what_it_says(server):
    cached(server, "SELECT n, s FROM t ORDER BY n")
    assert ask(server, "select n,\n s  from t -- the same\n order by n")[0] == "hit"
    for other in ["SELECT n, s FROM t ORDER BY n DESC", "SELECT n AS m, s FROM t ORDER BY n", "SELECT n, s FROM t ORDER BY n LIMIT 2"]:
        assert ask(server, other)[0] == "miss"


def test_off_and_refresh(server):
    sql = "SELECT count(*) FROM t"
    assert ask(server, {"sql": sql, "cache": "off"})[0] == "bypass"
    assert ask(server, {"sql": sql, "cache": "refresh"})[0] == "miss"
    assert ask(server, {"sql": sql, "cache": "use"})[0] == "hit"
    assert ask(server, {"sql": sql, "cache": "off"})[0] == "bypass"
    assert ask(server, {"sql": sql, "cache": "refresh"})[0] == "miss"
    refused = server.post({"sql": sql, "cache": "always"})
    assert refused.status_code == 400 and "always" in refused.json()["detail"]
    asked = server.http.get(server.url("/v1/query"), params={"sql": sql, "format": "csv"})
    assert asked.headers["X-Cache"] == "hit"
    asked = server.http.get(server.url("/v1/query"), params={"sql": sql, "format": "csv", "cache": "off"})
    assert asked.headers["X-Cache"] == "bypass" and "ETag" not in asked.headers


def test_the_setting_decides_where_the_request_does_not(server):
    session = server.http.post(server.url("/v1/sessions"), json={"settings": {"result_cache": "off"}}).json()["id"]
    sql = "SELECT count(*) FROM t"
    assert [ask(server, {"sql": sql, "session_id": session})[0] for _ in range(2)] == ["bypass", "bypass"]
    assert [ask(server, {"sql": sql, "session_id": session, "cache": "use"})[0] for _ in range(2)] == ["miss", "hit"]


def test_without_a_cache_there_is_none(serve):
    with serve("--set", "cache.enabled=false") as server:
        server.post("CREATE TABLE t AS SELECT 1 AS n")
        for mode in ["use", "refresh", "off"]:
            response = server.post({"sql": "SELECT * FROM t", "cache": mode, "max_staleness_ms": 60000})
            assert response.headers["X-Cache"] == "bypass" and "ETag" not in response.headers
        assert cache_metrics(server)["entries"] == 0


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT n, now() FROM t",
        "SELECT n FROM t WHERE current_date > DATE '2000-01-01'",
        "SELECT n, random() FROM t",
        "SELECT n, uuid() FROM t",
        "SELECT n FROM t ORDER BY random()",
        "SELECT sum(n) FILTER (WHERE random() >= 0) FROM t",
        "SELECT n FROM t WHERE n IN (SELECT n FROM t WHERE random() >= 0)",
        "SELECT (SELECT max(now()) FROM t) FROM t",
        "SELECT row_number() OVER (ORDER BY n + random()) FROM t",
        "SELECT n FROM wild",
        "SELECT count(*) FROM system.queries",
        "SELECT t.n, q.sql FROM t LEFT JOIN system.queries q ON q.sql = t.s",
        "SELECT count(*) FROM information_schema.tables",
        "SELECT * FROM t, generate_series(1, 2)",
        "EXPLAIN SELECT * FROM t",
        "SHOW time_zone",
        "INSERT INTO t VALUES (4, 'd')",
    ],
)
def test_what_is_not_a_matter_of_the_tables_alone_is_never_cached(server, sql):
    server.post("CREATE VIEW wild AS SELECT n, random() AS r FROM t")
    for _ in range(2):
        response = server.post({"sql": sql, "max_staleness_ms": 3600000}, "text/csv")
        assert response.ok, response.text
        assert response.headers["X-Cache"] == "bypass"
        assert "ETag" not in response.headers and response.headers["Cache-Control"] == "no-store"


def test_every_change_of_a_table_shows(server):
    sql = "SELECT n, s FROM t ORDER BY n"
    before = cached(server, sql)
    for change in [
        "INSERT INTO t VALUES (4, 'd')",
        "UPDATE t SET s = 'x' WHERE n = 1",
        "DELETE FROM t WHERE n = 2",
        "INSERT OVERWRITE t VALUES (7, 'g')",
        "CREATE OR REPLACE TABLE t AS SELECT 8 AS n, 'h' AS s",
    ]:
        assert server.post(change).ok, change
        assert cached(server, sql) != before, change
        before = ask(server, sql)[1]
    before = cached(server, "SELECT count(*) FROM t")
    assert server.post("DROP TABLE t").ok
    assert server.post("SELECT count(*) FROM t").json()["code"] == "TABLE_NOT_FOUND"
    assert server.post("CREATE TABLE t AS SELECT 8 AS n, 'h' AS s").ok
    assert ask(server, "SELECT count(*) FROM t") == ("miss", before), "the same rows, but of another table"


def test_tables_that_change_places(server, tmp_path):
    for name in ["one", "two"]:
        (tmp_path / f"{name}.csv").write_text(f"v\n{name}\n")
    place = lambda table, file: server.post(  # noqa: E731
        f"CREATE OR REPLACE EXTERNAL TABLE {table} STORED AS CSV LOCATION '{tmp_path / file}.csv' OPTIONS (header 'true')"
    )
    sql = "SELECT a.v AS a, b.v AS b FROM a CROSS JOIN b"
    assert place("a", "one").ok and place("b", "two").ok
    assert cached(server, sql).split() == ["a,b", "one,two"]
    assert place("a", "two").ok and place("b", "one").ok
    assert cached(server, sql).split() == ["a,b", "two,one"]


def test_views_are_what_they_say_now(server):
    assert server.post("CREATE VIEW inner_view AS SELECT n FROM t WHERE n < 3").ok
    assert server.post("CREATE VIEW outer_view AS SELECT sum(n) AS total FROM inner_view").ok
    assert cached(server, "SELECT * FROM outer_view").split() == ["total", "3"]
    assert server.post("CREATE OR REPLACE VIEW inner_view AS SELECT n FROM t WHERE n > 1").ok
    assert cached(server, "SELECT * FROM outer_view").split() == ["total", "5"]
    assert server.post("INSERT INTO t VALUES (10, 'j')").ok
    assert cached(server, "SELECT * FROM outer_view").split() == ["total", "15"]


def test_temporary_views_are_of_their_session(server):
    sessions = [server.http.post(server.url("/v1/sessions"), json={}).json()["id"] for _ in range(2)]
    for bound, session in zip([2, 3], sessions, strict=True):
        made = server.post({"sql": f"CREATE TEMPORARY VIEW mine AS SELECT n FROM t WHERE n < {bound}", "session_id": session})
        assert made.ok, made.text
    for count, session in zip([1, 2], sessions, strict=True):
        assert cached(server, {"sql": "SELECT count(*) AS c FROM mine", "session_id": session}).split() == ["c", str(count)]


def test_parameters_and_prepared_statements(server):
    by_value = {"sql": "SELECT s FROM t WHERE n = $1"}
    assert cached(server, by_value | {"params": [1]}).split() == ["s", "a"]
    assert cached(server, by_value | {"params": [2]}).split() == ["s", "b"]
    typed = {"type": "SMALLINT", "value": 1}
    by_type = {"sql": "SELECT $1 AS x, n FROM t WHERE n = 1"}
    cached(server, by_type | {"params": [typed]})
    assert ask(server, by_type | {"params": [1]})[0] == "miss", "another type"
    many = {"sql": "SELECT array_to_string($1, ',') AS x FROM t LIMIT 1"}
    lists = [list(range(100)), [*range(50), -1, *range(51, 100)]]
    assert len({cached(server, many | {"params": [values]}) for values in lists}) == 2
    session = server.http.post(server.url("/v1/sessions"), json={}).json()["id"]
    assert server.post({"sql": "PREPARE p AS SELECT s FROM t WHERE n = $1", "session_id": session}).ok
    assert ask(server, {"sql": "EXECUTE p(1)", "session_id": session}) == ("hit", "s\na\n"), "the same question"
    assert cached(server, {"sql": "EXECUTE p(3)", "session_id": session}).split() == ["s"]


def test_settings_that_change_the_answer(server):
    assert server.post("CREATE TABLE moments AS SELECT 1 AS n, TIMESTAMP '2024-06-01 12:00:00' AS at").ok
    local = {"sql": "SELECT CAST(CAST(at AS TIMESTAMP WITH TIME ZONE) AS VARCHAR) AS shown FROM moments"}
    zones = ["UTC", "Asia/Tokyo", "America/New_York"]
    assert len({cached(server, local | {"session": {"time_zone": zone}}) for zone in zones}) == 3
    rows = {"sql": "SELECT n FROM t ORDER BY n"}
    assert len({cached(server, rows | {"row_limit": limit}) for limit in [1, 2]}) == 2
    assert cached(server, rows | {"session": {"row_limit": 3}})
    assert server.post("CREATE SCHEMA other").ok and server.post("CREATE TABLE other.t AS SELECT 9 AS n").ok
    assert cached(server, rows | {"schema": "other"}).split() == ["n", "9"]
    assert ask(server, rows | {"session": {"application_name": "a dashboard", "priority": "high"}})[0] == "miss"
    assert ask(server, rows | {"session": {"application_name": "another", "priority": "low"}})[0] == "hit"


def test_staleness_that_the_client_allows(server):
    within = {"sql": "SELECT count(*) AS c FROM t", "max_staleness_ms": 3600000}
    assert cached(server, within).split() == ["c", "3"]
    assert server.post("INSERT INTO t VALUES (4, 'd')").ok
    assert ask(server, within) == ("stale", "c\n3\n")
    tight = within | {"max_staleness_ms": 1}
    wait_until(lambda: ask(server, tight)[1] == "c\n4\n", what="an answer that is not too old")
    assert ask(server, within)[0] == "hit"


def test_answers_are_not_shared_between_principals(tmp_path):
    reader = {"Authorization": f"Bearer {TOKEN}"}
    admin = {"auth": ("ann", "secret")}
    with serving(tmp_path / "data", "--config", str(auth_config(tmp_path))) as server:
        assert server.post("CREATE TABLE t AS SELECT 1 AS n", **admin).ok
        sql = "SELECT sum(n) FROM t"
        cached(server, sql, **admin)
        assert ask(server, sql, headers=reader)[0] == "miss"
        assert ask(server, sql, headers=reader)[0] == "hit"
        assert server.post(sql).status_code == 401
        tag = server.post(sql, "text/csv", **admin).headers["ETag"]
        other = server.post(sql, "text/csv", headers=reader | {"If-None-Match": tag})
        assert other.status_code == 200 and other.headers["ETag"] != tag
        assert "Authorization" in other.headers["Vary"]
        assert server.post("INSERT INTO t VALUES (2)", headers=reader).status_code == 403


def test_answers_follow_the_data_while_many_ask(server):
    """A writer adds one row after another; whoever asks sees at least what was there when he asked."""
    assert server.post("CREATE TABLE log AS SELECT 0 AS n").ok
    added, stop, hits = [1], threading.Event(), []

    def write():
        while not stop.is_set():
            assert server.post(f"INSERT INTO log VALUES ({added[0]})").ok
            added[0] += 1

    def read():
        for _ in range(60):
            before = added[0]
            status, text = ask(server, "SELECT count(*) AS c, max(n) AS m FROM log")
            count, largest = map(int, text.split()[1].split(","))
            assert count == largest + 1 and before <= count <= added[0] + 1
            hits.append(status)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        writer = pool.submit(write)
        readers = [pool.submit(read) for _ in range(4)]
        for reader in readers:
            reader.result()
        stop.set()
        writer.result()
    assert set(hits) <= {"hit", "miss"}
    assert ask(server, "SELECT count(*) AS c, max(n) AS m FROM log")[1].split()[1] == f"{added[0]},{added[0] - 1}"
