"""Files of web servers, whatever these can: ranges or not, lengths or not, HEAD or not."""

import collections
import http.server
import io
import threading

import pyarrow
import pyarrow.parquet
import pytest

ROWS = 20000


def parquet() -> bytes:
    body = io.BytesIO()
    table = pyarrow.table({"n": list(range(ROWS)), "s": [f"row {n}" for n in range(ROWS)]})
    pyarrow.parquet.write_table(table, body, row_group_size=1000, compression="none")
    return body.getvalue()


FILES = {
    "/in.parquet": parquet(),
    "/in.csv": b"n,s\n" + b"".join(b"%d,row %d\n" % (n, n) for n in range(ROWS)),
    "/in.ndjson": b"".join(b'{"n": %d, "s": "row %d"}\n' % (n, n) for n in range(ROWS)),
}


class Site(http.server.ThreadingHTTPServer):
    """Serves the files with what it can, and counts what it was asked."""

    daemon_threads = True

    def __init__(self, *lacks: str):
        self.lacks, self.files, self.seen = set(lacks), dict(FILES), collections.Counter()
        super().__init__(("127.0.0.1", 0), Page)

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Page(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):  # noqa: N802 - the names are http.server's
        if "head" in self.server.lacks:
            self.send_error(405)
        elif "signature" in self.server.lacks:
            self.send_error(403)
        else:
            self.answer()

    def do_GET(self):  # noqa: N802
        if "access" in self.server.lacks:
            self.send_error(403)
        else:
            self.answer()

    def answer(self):
        path = self.path.split("?")[0]
        body = self.server.files.get(path)
        if body is None:
            return self.send_error(404)
        asked, whole = self.headers.get("Range"), len(body)
        self.server.seen[self.command, "range" if asked else "whole"] += 1
        if asked and "ranges" not in self.server.lacks:
            first, last = asked.removeprefix("bytes=").split("-")
            first, last = (whole - int(last), whole - 1) if not first else (int(first), int(last or whole - 1))
            last = min(last, whole - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
            body = body[first : last + 1]
        else:
            self.send_response(200)
        if "length" not in self.server.lacks:
            self.send_header("Content-Length", str(len(body)))
        if "validators" not in self.server.lacks:
            self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    sites = []

    def start(*lacks):
        sites.append(Site(*lacks))
        threading.Thread(target=sites[-1].serve_forever, daemon=True).start()
        return sites[-1]

    yield start
    for site in sites:
        site.shutdown()
        site.server_close()


LACKS = [(), ("ranges",), ("length",), ("ranges", "length"), ("head",), ("head", "ranges"), ("signature",), ("ranges", "length", "validators"), ("head", "ranges", "length")]


@pytest.mark.parametrize("lacks", LACKS, ids=lambda lacks: "no " + ", ".join(lacks) if lacks else "all")
@pytest.mark.parametrize("path", FILES)
def test_a_file_is_read_whatever_its_server_can(demo, site, path, lacks):
    place = site(*lacks).url(path) + "?sig=a%2Fb"
    assert demo.rows(f"SELECT count(*), sum(n), min(s), max(s) FROM '{place}'") == [(ROWS, ROWS * (ROWS - 1) // 2, "row 0", "row 9999")]
    assert demo.rows(f"SELECT s FROM '{place}' WHERE n = 12345") == [("row 12345",)]


def test_the_standard_library_as_a_server(demo, tmp_path):
    """`python -m http.server` answers 200 to every range."""
    for path, body in FILES.items():
        (tmp_path / path[1:]).write_bytes(body)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path in FILES:
            assert demo.value(f"SELECT sum(n) FROM 'http://127.0.0.1:{server.server_port}{path}'") == ROWS * (ROWS - 1) // 2
        server.shutdown()


def test_a_file_that_can_not_be_read_in_parts_is_fetched_once(demo, site):
    server = site("ranges")
    for _ in range(3):
        assert demo.value({"sql": f"SELECT sum(n) FROM '{server.url('/in.parquet')}'", "cache": "off"}) == ROWS * (ROWS - 1) // 2
    # The first request for a part is the one that fetches it.
    assert server.seen["GET", "range"] <= 2 and server.seen["GET", "whole"] == 0, server.seen


@pytest.mark.parametrize("lacks", [("ranges",), ("ranges", "validators"), ("ranges", "length", "validators")])
def test_a_file_that_changes_is_fetched_again(demo, site, lacks):
    server = site(*lacks)
    sql = {"sql": f"SELECT sum(n) FROM '{server.url('/in.csv')}'", "cache": "off"}
    assert demo.value(sql) == ROWS * (ROWS - 1) // 2
    server.files["/in.csv"] = b"n,s\n1,a\n2,b\n"
    assert demo.value(sql) == 3


def test_what_is_kept_has_a_limit(serve, site):
    server = site("ranges")
    server.files["/small.csv"] = b"n\n1\n2\n"
    with serve("--set", "storage.max_whole_file_bytes=64KiB") as engine:
        refused = engine.post(f"SELECT sum(n) FROM '{server.url('/in.parquet')}?sig=secret'")
        document = refused.json()
        assert refused.status_code == 507 and document["code"] == "DISK_QUOTA_EXCEEDED", document
        assert "64KiB" in document["detail"] and "storage.max_whole_file_bytes" in document["hint"]
        assert "secret" not in refused.text
        assert engine.value(f"SELECT sum(n) FROM '{server.url('/small.csv')}'") == 3
        # Files without names: there is nothing to see, and nothing to be left.
        assert not [path for path in (engine.data_dir / "web").rglob("*") if path.is_file()]


def test_what_is_not_there_or_not_allowed_is_said(demo, site):
    missing = demo.post(f"SELECT * FROM '{site().url('/no.csv')}'")
    assert missing.status_code == 400 and missing.json()["code"] == "FILE_NOT_FOUND", missing.text
    assert "no.csv" in missing.json()["detail"]
    for lacks in [("access", "signature"), ("access", "head")]:
        url = site(*lacks).url("/in.csv")
        refused = demo.post(f"SELECT * FROM '{url}'")
        assert refused.status_code == 502 and refused.json()["code"] == "STORAGE_ERROR", refused.text
        assert f"refused access to '{url}'" in refused.json()["detail"]
