"""The result cache over files: local, in S3, of web servers; an answer is as new as its files."""

import http.server
import os
import threading

import pyarrow.parquet
import pytest

from caching import TRUST_FILES, ask, cached, server  # noqa: F401 - a fixture among them
from server import serving, wait_until
from test_s3 import KEYS, bucket, moto  # noqa: F401 - fixtures


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
