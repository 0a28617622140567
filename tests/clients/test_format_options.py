"""The formats with all their options, however they are asked for: by name, alias, header, body, of a query or a kept result."""

import gzip
import io
import json

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

SQL = "SELECT value AS i, 'text ' || value AS s FROM generate_series(1, 5000) g(value) ORDER BY i"
ODD = "SELECT 9007199254740993 AS big, CAST('NaN' AS DOUBLE) AS nan, CAST('-Infinity' AS DOUBLE) AS inf"
STREAM, FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
# Name, aliases, media type, extension, first bytes of the answer to SELECT 1 AS a.
FORMATS = [
    ("json", [], "application/json", "json", b"{"),
    ("arrow", ["arrow_stream", "arrows"], STREAM, "arrows", b"\xff\xff\xff\xff"),
    ("arrow_file", ["feather"], FILE, "arrow", b"ARROW1"),
    ("ndjson", ["jsonl"], "application/x-ndjson", "ndjson", b'{"a":1}\n'),
    ("csv", [], "text/csv", "csv", b"a\r\n1\r\n"),
    ("tsv", [], "text/tab-separated-values", "tsv", b"a\n1\n"),
    ("parquet", [], "application/vnd.apache.parquet", "parquet", b"PAR1"),
    ("markdown", ["md"], "text/markdown", "md", b"|"),
    ("text", ["table"], "text/plain", "txt", None),
]


@pytest.fixture(scope="module")
def kept(demo):
    """The URL of a kept result."""
    status = demo.submit(SQL)
    demo.wait_for_state(status["id"], "finished")
    return demo.url(f"/v1/queries/{status['id']}/result")


@pytest.mark.parametrize(("name", "aliases", "media_type", "extension", "start"), FORMATS, ids=[row[0] for row in FORMATS])
def test_names_and_downloads(demo, kept, name, aliases, media_type, extension, start):
    by_header = demo.post("SELECT 1 AS a", media_type)
    assert by_header.headers["Content-Type"].split(";")[0] == media_type
    content = by_header.content.replace(b"\r\n", b"\n")
    assert start is None or content.startswith(start.replace(b"\r\n", b"\n")), content[:40]
    assert "Accept" in by_header.headers["Vary"] and "Content-Disposition" not in by_header.headers
    for alias in [name, name.upper(), *aliases]:
        asked = {"sql": "SELECT 1 AS a", "format": alias, "download": "true"}
        response = demo.http.get(demo.url("/v1/query"), params=asked)
        assert response.headers["Content-Type"].split(";")[0] == media_type, alias
        file_name = f"{response.headers['X-Query-Id']}.{extension}"
        assert response.headers["Content-Disposition"] == f'attachment; filename="{file_name}"'
    in_body = demo.post({"sql": "SELECT 1 AS a", "format": name}, accept="*/*")
    of_kept = demo.http.get(kept, params={"format": name, "download": "true"})
    for response in [in_body, of_kept]:
        assert response.headers["Content-Type"].split(";")[0] == media_type
    assert of_kept.headers["Content-Disposition"].endswith(f'.{extension}"')


@pytest.mark.parametrize("codec", ["none", "zstd", "lz4"])
@pytest.mark.parametrize("name", ["arrow", "arrow_file"])
def test_codecs(demo, kept, name, codec):
    open_ = pa.ipc.open_stream if name == "arrow" else pa.ipc.open_file
    in_body = demo.post({"sql": SQL, "format": name, "format_options": {"codec": codec}})
    of_kept = demo.http.get(kept, params={"format": name, "codec": codec})
    for response in [in_body, of_kept]:
        assert response.status_code == 200, response.text
        assert ("codecs=" in response.headers["Content-Type"]) == (codec != "none")
        assert open_(response.content).read_all()["i"].to_pylist() == list(range(1, 5001))


def test_what_is_compressed_is_not_compressed_again(demo):
    encoded = lambda accept: demo.post(SQL, accept, headers={"Accept-Encoding": "gzip"}).headers.get("Content-Encoding")  # noqa: E731
    assert encoded("application/vnd.apache.parquet") is None and encoded(STREAM + ";codecs=zstd") is None
    assert encoded(STREAM) == encoded("application/json") == encoded("text/csv") == "gzip"


def test_ndjson_tells_its_columns_on_request(demo, kept):
    column = {"name": "a", "type": "BIGINT", "nullable": True, "arrow_type": "Int64"}
    by_parameter = demo.post({"sql": "SELECT 1 AS a", "format": "ndjson", "format_options": {"header": "present"}})
    by_accept = demo.post("SELECT 1 AS a", "application/x-ndjson;header=present")
    for response in [by_parameter, by_accept]:
        assert [json.loads(line) for line in response.text.splitlines()] == [{"schema": [column]}, {"a": 1}]
    lines = demo.http.get(kept, params={"format": "ndjson", "header": "present"}).text.splitlines()
    assert [name["name"] for name in json.loads(lines[0])["schema"]] == ["i", "s"] and len(lines) == 5001


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_numbers_that_json_can_not_hold(demo, accept):
    def row(**options):
        text = demo.post({"sql": ODD, "format_options": options} if options else ODD, accept).text
        document = json.loads(text)
        return document["rows"][0] if "rows" in document else [document[name] for name in ("big", "nan", "inf")]

    assert row() == [9007199254740993, None, None]
    assert row(numbers="string") == ["9007199254740993", None, None]
    assert row(nan="string") == [9007199254740993, "NaN", "-Infinity"]


@pytest.mark.parametrize(("format_", "separator"), [("csv", ","), ("tsv", "\t")])
def test_header(demo, kept, format_, separator):
    first = lambda **options: demo.http.get(kept, params={"format": format_, "limit": 1} | options).text.splitlines()  # noqa: E731
    assert first() == first(header="present") == [f"i{separator}s", f"1{separator}text 1"]
    assert first(header="absent") == [f"1{separator}text 1"]


def test_rows_of_a_kept_result_as_objects(demo, kept):
    document = demo.http.get(kept, params={"rows": "objects", "offset": 4999, "limit": 10}).json()
    assert document["rows"] == [{"i": 5000, "s": "text 5000"}]


def test_a_kept_result_is_encoded_like_any_other(demo, kept):
    response = demo.http.get(kept, headers={"Accept": "text/csv", "Accept-Encoding": "gzip"}, stream=True)
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.raw.read(decode_content=False)).count(b"\n") == 5001


@pytest.mark.parametrize("accept", [FILE, FILE + ";codecs=zstd", "application/vnd.apache.parquet"])
def test_ranges_of_a_part(demo, kept, accept):
    # Of an encoded answer there are no ranges.
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    get = lambda value: demo.http.get(kept, params={"part": 0}, headers=headers | {"Range": value})  # noqa: E731
    whole = demo.http.get(kept, params={"part": 0}, headers=headers)
    assert whole.headers["Accept-Ranges"] == "bytes"
    length = len(whole.content)
    for value, wanted in [("bytes=0-99", whole.content[:100]), ("bytes=-50", whole.content[-50:]), (f"bytes={length - 7}-", whole.content[-7:])]:
        part = get(value)
        assert part.status_code == 206 and part.content == wanted, value
        assert part.headers["Content-Range"].endswith(f"/{length}")
    # A range that is not understood is no range.
    assert get("rows=1-2").content == whole.content
    read = pyarrow.parquet.read_table if "parquet" in accept else lambda data: pyarrow.ipc.open_file(data).read_all()
    assert read(io.BytesIO(whole.content)).num_rows == 5000


def test_unknown_options_are_refused(demo):
    bad = [{"rows": "cubes"}, {"numbers": "roman"}, {"nan": "maybe"}, {"header": "maybe"}, {"codec": "rar"}, {"nope": 1}]
    for options in bad:
        response = demo.post({"sql": "SELECT 1", "format_options": options})
        assert response.status_code == 400 and response.json()["code"] == "INVALID_REQUEST", options
        (value,) = options.values()
        assert str(value) in response.json()["detail"] or "nope" in response.json()["detail"]
    for accept in ["application/json;rows=cubes", "text/csv;header=maybe", "application/json;numbers=roman", STREAM + ";codecs=rar"]:
        assert demo.post("SELECT 1", accept).status_code in {400, 406}, accept
    # Of the codecs that the client offers, one that the server has will do.
    assert demo.post("SELECT 1 AS a", STREAM + ';codecs="rar,zstd"').headers["Content-Type"].startswith(STREAM)


def test_no_format_wanted_means_json(demo):
    assert demo.post("SELECT 1 AS a", "*/*").headers["Content-Type"] == "application/json"
    assert demo.post("SELECT 1 AS a", "text/*").headers["Content-Type"].startswith("text/csv")
    refused = demo.post("SELECT 1 AS a", "application/json;q=0")
    assert refused.status_code == 406 and "application/json" in refused.text
