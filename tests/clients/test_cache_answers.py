"""Answers from the result cache: their tags and 304, their formats, the limits that hold for them and for the cache."""

import io

import pyarrow.parquet
import pytest

from caching import ask, cache_metrics, cached, server  # noqa: F401 - a fixture among them
from server import ARROW_STREAM


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
