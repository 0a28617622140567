"""The result cache: a cached answer equals a fresh one, unless the client allows it to be older."""

import concurrent.futures
import http.server
import io
import os
import threading

import pyarrow.csv
import pyarrow.parquet
import pytest

from server import ARROW_STREAM, serving, wait_until
from test_lifecycle import TOKEN, auth_config
from test_s3 import KEYS, bucket, moto  # noqa: F401 - fixtures

# Files of these tests are young; how long a file must be left alone has tests of its own.
TRUST_FILES = ("--set", "cache.min_file_age=0s")


@pytest.fixture
def server(serve):
    with serve(*TRUST_FILES) as server:
        assert server.post("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL)) AS v (n, s)").ok
        yield server


def ask(server, body, accept="text/csv", **options):
    """Where the answer came from, and the answer."""
    response = server.post(body, accept, **options)
    assert response.status_code == 200, response.text
    return response.headers["X-Cache"], response.text.replace("\r\n", "\n")


def cached(server, body, **options):
    """Asks until it is known, and gives the answer that is known."""
    first = ask(server, body, **options)
    assert first[0] == "miss", first
    again = ask(server, body, **options)
    assert again == ("hit", first[1])
    return first[1]


def cache_metrics(server):
    lines = [line.split(" ") for line in server.http.get(server.url("/metrics")).text.splitlines()]
    return {line[0].removeprefix("tidemill_cache_"): int(line[1]) for line in lines if line[0].startswith("tidemill_cache_")}


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


def test_files_that_change(server, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("v\n111\n")
    sql = f"SELECT sum(v) AS s FROM '{path}'"
    assert cached(server, sql).split() == ["s", "111"]
    modified = path.stat().st_mtime_ns
    # As `cp -p` and `tar` do it: the size and the time of modification stay.
    ticked = path.stat().st_ctime_ns

    def rewritten():
        path.write_text("v\n222\n")
        os.utime(path, ns=(modified, modified))
        return path.stat().st_ctime_ns != ticked

    wait_until(rewritten, what="a tick of the file system's clock")
    assert path.stat().st_mtime_ns == modified
    assert cached(server, sql).split() == ["s", "222"]
    aside = tmp_path / "aside.csv"
    aside.write_text("v\n333\n")
    aside.rename(path)
    assert cached(server, sql).split() == ["s", "333"]
    path.unlink()
    assert server.post(sql).json()["code"] == "FILE_NOT_FOUND"


def test_files_that_come_and_go(server, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text("v\n1\n")
    assert server.post(f"CREATE EXTERNAL TABLE parts STORED AS CSV LOCATION '{folder}/' OPTIONS (header 'true')").ok
    for sql in [f"SELECT sum(v) AS s FROM '{folder}/*.csv'", "SELECT sum(v) AS s FROM parts"]:
        assert cached(server, sql).split() == ["s", "1"]
        (folder / "b.csv").write_text("v\n2\n")
        assert cached(server, sql).split() == ["s", "3"]
        (folder / "b.csv").unlink()
        assert ask(server, sql)[1].split() == ["s", "1"]


def test_statistics_are_no_shortcut_around_the_version(server, tmp_path):
    path = tmp_path / "n.parquet"
    sql = f"SELECT count(*) AS c, max(v) AS m FROM '{path}'"
    for rows in [3, 5]:
        pyarrow.parquet.write_table(pyarrow.table({"v": list(range(rows))}), path)
        assert cached(server, sql).split() == ["c,m", f"{rows},{rows - 1}"]


def test_the_same_file_read_in_two_ways(server, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("a;b\n1;2\n")
    for options, width in [("", 1), (", delimiter => ';'", 2)]:
        document = server.post(f"SELECT * FROM read_csv('{path}'{options})")
        assert document.headers["X-Cache"] == "miss" and len(document.json()["schema"]) == width
    made = "CREATE OR REPLACE EXTERNAL TABLE f (x VARCHAR) STORED AS CSV LOCATION '{}' OPTIONS (header '{}')"
    for header, rows in [("true", "1"), ("false", "2")]:
        assert server.post(made.format(path, header)).ok
        assert cached(server, "SELECT count(*) AS c FROM f").split() == ["c", rows]


def test_a_file_that_changed_just_now_is_not_trusted(serve, tmp_path):
    path = tmp_path / "young.csv"
    with serve("--set", "cache.min_file_age=1h") as server:
        path.write_text("v\n1\n")
        response = server.post(f"SELECT sum(v) FROM '{path}'")
        assert response.headers["X-Cache"] == "bypass" and "ETag" not in response.headers
    with serve() as server:
        path.write_text("v\n1\n")
        assert ask(server, f"SELECT sum(v) FROM '{path}'")[0] == "bypass"
        wait_until(lambda: ask(server, f"SELECT sum(v) FROM '{path}'")[0] == "hit", what="trust in a file that nobody changes")


def test_objects_that_change(moto, bucket, tmp_path):  # noqa: F811
    with serving(tmp_path / "data", *TRUST_FILES, AWS_ENDPOINT_URL=moto, AWS_ALLOW_HTTP="true", **KEYS) as server:
        single, several = f"SELECT sum(v) AS s FROM '{bucket.url('in.csv')}'", f"SELECT count(*) AS c FROM '{bucket.url('path/*.parquet')}'"
        assert cached(server, single).split() == ["s", "3"]
        assert cached(server, several).split() == ["c", "30"]
        # Of the same size, within the same second: only the tag differs.
        bucket.client.put_object(Bucket=bucket.name, Key="in.csv", Body=b"k,v\na,3\nb,4\n")
        assert cached(server, single).split() == ["s", "7"]
        bucket.client.delete_object(Bucket=bucket.name, Key="path/part-1.parquet")
        assert cached(server, several).split() == ["c", "20"]


class Site(http.server.ThreadingHTTPServer):
    """Serves one CSV file, with or without a tag."""

    def __init__(self):
        self.body, self.tag = b"v\n1\n", None
        super().__init__(("127.0.0.1", 0), Page)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/in.csv"


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # noqa: N802 - the name is http.server's
        body = self.server.body
        first, last = 0, len(body) - 1
        if asked := self.headers.get("Range"):
            first, last = (int(bound) if bound else last for bound in asked.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{min(last, len(body) - 1)}/{len(body)}")
        else:
            self.send_response(200)
        part = body[first : last + 1]
        self.send_header("Content-Length", str(len(part)))
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    site = Site()
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield site
    site.shutdown()


def test_what_has_no_version_is_for_those_who_allow_age(server, site):
    sql = f"SELECT sum(v) AS s FROM '{site.url}'"
    assert [ask(server, sql)[0] for _ in range(2)] == ["bypass", "bypass"]
    within = {"sql": sql, "max_staleness_ms": 3600000}
    assert ask(server, within)[0] == "miss"
    site.body = b"v\n2\n"
    stale = server.post(within, "text/csv")
    assert stale.headers["X-Cache"] == "stale" and stale.text.split() == ["s", "1"]
    assert "Age" in stale.headers and "ETag" not in stale.headers
    assert ask(server, sql) == ("bypass", "s\n2\n")
    assert ask(server, within | {"cache": "refresh"}) == ("miss", "s\n2\n")
    assert ask(server, within) == ("stale", "s\n2\n")
    site.tag = 'W/"weak"'
    assert ask(server, sql)[0] == "bypass"
    site.tag = '"2"'
    assert cached(server, sql) == "s\n2\n"
    site.body, site.tag = b"v\n3\n", '"3"'
    assert cached(server, sql) == "s\n3\n"


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


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("format", ["csv", "json", "arrow_stream", "parquet"])
def test_who_has_the_answer_gets_304(server, method, format):
    def fetch(tag=None, sql="SELECT n, s FROM t ORDER BY n", **options):
        headers = {"If-None-Match": tag} if tag else {}
        if method == "GET":
            return server.http.get(server.url("/v1/query"), params={"sql": sql, "format": format} | options, headers=headers)
        return server.post({"sql": sql, "format": format} | options, headers=headers)

    first = fetch()
    tag = first.headers["ETag"]
    assert first.status_code == 200 and first.headers["Cache-Control"] == "private, no-cache"
    again = fetch(f'"other", {tag}')
    assert again.status_code == 304 and again.content == b""
    assert again.headers["ETag"] == tag and again.headers["X-Cache"] == "hit"
    assert "Accept" in again.headers["Vary"] and again.headers["X-Query-Id"] != first.headers["X-Query-Id"]
    status = server.status(again.headers["X-Query-Id"])
    assert status["state"] == "finished" and status["cache"] == "hit" and status["progress"]["rows_produced"] == 0
    assert fetch('"other"').status_code == 200
    assert fetch(tag, sql="SELECT n FROM t ORDER BY n").status_code == 200
    assert fetch(tag, cache="off").status_code == fetch(tag, cache="refresh").status_code == 200
    other = server.post({"sql": "SELECT n, s FROM t ORDER BY n", "format": "markdown"}, headers={"If-None-Match": tag})
    assert other.status_code == 200 and other.headers["ETag"] != tag
    assert server.post("INSERT INTO t VALUES (4, 'd')").ok
    changed = fetch(tag)
    assert changed.status_code == 200 and changed.headers["ETag"] != tag


def test_tags_of_files_outlive_the_server(serve, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("v\n1\n")
    sql, tags = f"SELECT sum(v) AS s FROM '{path}'", []
    for _ in range(2):
        with serve(*TRUST_FILES) as server:
            tags.append(server.post(sql, "text/csv").headers["ETag"])
            assert server.post("CREATE TABLE t AS SELECT 1 AS n").ok
            tags.append(server.post("SELECT * FROM t", "text/csv").headers["ETag"])
    assert tags[0] == tags[2]
    assert tags[1] != tags[3], "rows in memory do not"


def test_a_large_result_has_no_tag_where_a_failure_ends_the_document_well(serve):
    with serve() as server:
        assert server.post("CREATE TABLE big AS SELECT value AS n, repeat('x', 100) AS s FROM generate_series(1, 200000)").ok
        sql = "SELECT n, s FROM big"
        assert "ETag" not in server.post({"sql": sql, "cache": "refresh"}).headers
        assert "ETag" in server.post({"sql": sql, "cache": "refresh"}, ARROW_STREAM).headers


def test_a_cached_answer_has_every_format(server):
    sql = "SELECT n, s, n / 2.0 AS half, [n, n] AS list FROM t ORDER BY n"
    fresh = {accept: server.post({"sql": sql, "cache": "off"}, accept).content for accept in ["text/csv", ARROW_STREAM, "text/markdown"]}
    assert ask(server, sql, "application/x-ndjson")[0] == "miss"
    for accept, content in fresh.items():
        response = server.post(sql, accept)
        assert response.headers["X-Cache"] == "hit" and response.content == content
    table = server.table(sql)
    assert table.column("n").to_pylist() == [1, 2, 3]
    parquet = server.post(sql, "application/vnd.apache.parquet")
    assert parquet.headers["X-Cache"] == "hit" and pyarrow.parquet.read_table(io.BytesIO(parquet.content)).num_rows == 3
    assert ask(server, {"sql": sql, "session": {"wire_views": "on"}}, ARROW_STREAM)[0] == "miss", "another schema"


def test_background_queries_use_it_too(server):
    sql = "SELECT max(n) AS m FROM t"
    waiting = {"headers": {"Prefer": "wait=10"}}
    assert ask(server, sql, **waiting)[0] == "miss"
    assert ask(server, sql, **waiting) == ("hit", "m\n3\n")
    status = server.wait_for_state(server.submit(sql)["id"], "finished")
    assert status["cache"] == "hit" and status["result"]["rows"] == 1


def test_limits_of_the_request_hold_for_cached_answers(server):
    sql = "SELECT n, repeat('x', 1000) AS s FROM t"
    cached(server, sql)
    refused = server.post({"sql": sql, "byte_limit": 100}, "text/csv")
    assert refused.status_code == 422 and refused.json()["code"] == "RESULT_TOO_LARGE"


def test_what_fails_or_is_left_is_not_kept(serve):
    with serve() as server:
        assert server.post("CREATE TABLE big AS SELECT value AS n, repeat('x', 100) AS s FROM generate_series(1, 100000)").ok
        for _ in range(2):
            assert server.post("SELECT sum(100 / (n - 99999)) FROM big").status_code == 422
        with server.post({"sql": "SELECT n, s FROM big"}, ARROW_STREAM, stream=True) as response:
            assert response.headers["X-Cache"] == "miss"
            next(response.iter_content(1000))
        server.at_rest(10)
        assert cache_metrics(server)["entries"] == 0 and cache_metrics(server)["bytes"] == 0


def test_limits(serve):
    limits = ["--set", "cache.max_bytes=300KiB", "--set", "cache.max_bytes_per_result=100KiB"]
    with serve(*limits) as server:
        assert server.post("CREATE TABLE big AS SELECT value AS n, repeat('x', 100) AS s FROM generate_series(1, 20000)").ok
        large = {"sql": "SELECT n, s FROM big"}
        sizes = [len(server.post(large, ARROW_STREAM).content) for _ in range(2)]
        assert sizes[0] == sizes[1] > 2_000_000
        assert server.post(large, ARROW_STREAM).headers["X-Cache"] == "miss"
        assert cache_metrics(server)["bytes"] == 0, "too large"
        small = lambda start: f"SELECT n + 0 AS n, s || 'y' AS s FROM big WHERE n > {start} AND n <= {start + 200}"  # noqa: E731
        for start in range(0, 10000, 200):
            assert ask(server, small(start))[0] == "miss"
            assert ask(server, small(0))[0] == "hit", "it is used all the time"
        after = cache_metrics(server)
        assert after["evicted_total"] > 0 and 0 < after["bytes"] <= 300 * 1024
        assert ask(server, small(200))[0] == "miss", "it was not used for the longest time"


def test_a_query_that_needs_the_memory_gets_it(serve):
    limits = ["memory.limit=64MiB", "memory.per_query=100%", "cache.max_bytes=100%"]
    with serve(*(part for limit in limits for part in ("--set", limit))) as server:
        assert server.post("CREATE TABLE big AS SELECT value AS n FROM generate_series(1, 200000)").ok
        for extra in range(8):
            assert ask(server, f"SELECT n, repeat('x', 20) || n AS s FROM big WHERE n > {extra}")[0] == "miss"
        held = cache_metrics(server)["bytes"]
        assert held > 24 << 20
        rows = server.value({"sql": "SELECT count(*) FROM (SELECT DISTINCT n, repeat('y', 60) || n AS s FROM big)", "cache": "off"})
        assert rows == 200000
        assert cache_metrics(server)["bytes"] < held


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
