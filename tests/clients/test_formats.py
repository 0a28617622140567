"""Every format, read by the reader that people use for it."""

import csv
import gzip
import io
import json

import brotli
import pandas
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
import zstandard

SQL = """
SELECT value AS i,
       CASE WHEN value % 10 = 0 THEN NULL ELSE 'text, "' || value || '"' END AS s,
       value / 4.0 AS x,
       value % 2 = 0 AS b,
       DATE '2024-01-01' + CAST(value % 28 AS INT) AS d
FROM generate_series(1, 20000) g(value)
ORDER BY i
"""
ROWS = 20000


def check(table: pa.Table):
    assert table.column_names == ["i", "s", "x", "b", "d"]
    assert table.num_rows == ROWS
    assert table["i"].to_pylist() == list(range(1, ROWS + 1))
    assert table["s"][0].as_py() == 'text, "1"'
    assert table["s"].null_count == ROWS // 10
    assert table["x"][2].as_py() == 0.75


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_arrow_stream(demo, codec):
    accept = "application/vnd.apache.arrow.stream" + (f";codecs={codec}" if codec else "")
    response = demo.post(SQL, accept)
    assert response.status_code == 200, response.text
    check(pyarrow.ipc.open_stream(response.content).read_all())


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_arrow_file(demo, codec):
    accept = "application/vnd.apache.arrow.file" + (f";codecs={codec}" if codec else "")
    response = demo.post(SQL, accept)
    assert response.status_code == 200, response.text
    check(pyarrow.ipc.open_file(response.content).read_all())


def test_buffer_codecs_make_the_answer_smaller(demo):
    plain = demo.post(SQL, "application/vnd.apache.arrow.stream").content
    packed = demo.post(SQL, "application/vnd.apache.arrow.stream;codecs=zstd").content
    assert len(packed) < len(plain) / 2


def test_parquet(demo):
    response = demo.post(SQL, "application/vnd.apache.parquet")
    assert response.status_code == 200, response.text
    check(pyarrow.parquet.read_table(io.BytesIO(response.content)))


def test_csv_with_pandas_and_python(demo):
    response = demo.post(SQL, "text/csv")
    assert response.headers["Content-Type"].startswith("text/csv")
    frame = pandas.read_csv(io.StringIO(response.text))
    assert list(frame.columns) == ["i", "s", "x", "b", "d"]
    assert len(frame) == ROWS and frame["i"].sum() == ROWS * (ROWS + 1) // 2
    assert frame["s"].isna().sum() == ROWS // 10
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[1][1] == 'text, "1"'


def test_csv_without_header(demo):
    text = demo.post("SELECT 1 AS a, 'x' AS b", "text/csv;header=absent").text
    assert list(csv.reader(io.StringIO(text))) == [["1", "x"]]


def test_tsv(demo):
    frame = pandas.read_csv(io.StringIO(demo.post(SQL, "text/tab-separated-values").text), sep="\t")
    assert len(frame) == ROWS


def test_ndjson(demo):
    lines = demo.post(SQL, "application/x-ndjson").text.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == ROWS
    assert rows[0]["i"] == 1 and rows[9]["s"] is None


def test_json(demo):
    document = demo.post(SQL).json()
    assert [column["name"] for column in document["schema"]] == ["i", "s", "x", "b", "d"]
    assert len(document["rows"]) == ROWS
    assert document["rows"][0][:4] == [1, 'text, "1"', 0.25, False]
    assert "error" not in document


def test_json_rows_as_objects(demo):
    response = demo.http.post(
        demo.url("/v1/query?rows=objects"), data="SELECT 1 AS a, NULL AS b", headers={"Content-Type": "application/sql"}
    )
    assert response.json()["rows"] == [{"a": 1, "b": None}]


def test_json_keeps_what_javascript_would_lose(demo):
    sql = "SELECT 9007199254740993 AS big, CAST('12.50' AS DECIMAL(10, 2)) AS d"
    row = demo.post(sql, "application/json;numbers=string").json()["rows"][0]
    assert row == ["9007199254740993", "12.50"]
    assert demo.post(sql).json()["rows"][0][1] == "12.50"


def test_markdown_and_text(demo):
    markdown = demo.post("SELECT 1 AS a, 'x|y' AS b", "text/markdown").text.splitlines()
    assert markdown[0].startswith("|") and set(markdown[1]) <= set("|-: ") and len(markdown) == 3
    text = demo.post("SELECT 42 AS answer", "text/plain").text
    assert "answer" in text and "42" in text


def test_nested_and_special_values(demo):
    sql = "SELECT [1, NULL] AS l, {'a': 1, 'b': 'x'} AS s, X'00ff' AS bin, 'NaN'::double AS nan, TIMESTAMP '2024-01-01 01:02:03' AS ts"
    row = demo.post(sql).json()["rows"][0]
    assert row[0] == [1, None]
    assert row[1] == {"a": 1, "b": "x"}
    assert row[2] == "AP8="
    assert row[3] in (None, "NaN")
    assert row[4].startswith("2024-01-01T01:02:03")
    table = demo.table(sql)
    assert table["l"][0].as_py() == [1, None] and table["bin"][0].as_py() == b"\x00\xff"


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"])
def test_an_empty_result_is_a_whole_document(demo, accept):
    response = demo.post("SELECT 1 AS a WHERE false", accept)
    assert response.status_code == 200
    if "json" in accept:
        assert response.json()["rows"] == []
    elif "csv" in accept:
        assert response.text.strip() == "a"
    elif "arrow" in accept:
        assert pyarrow.ipc.open_stream(response.content).read_all().num_rows == 0
    else:
        assert pyarrow.parquet.read_table(io.BytesIO(response.content)).num_rows == 0


@pytest.mark.parametrize(
    ("encoding", "decode"),
    [
        ("gzip", gzip.decompress),
        ("br", brotli.decompress),
        ("zstd", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    ],
)
def test_content_encodings(demo, encoding, decode):
    response = demo.post(SQL, "text/csv", headers={"Accept-Encoding": encoding}, stream=True)
    assert response.headers["Content-Encoding"] == encoding
    packed = response.raw.read(decode_content=False)
    plain = demo.post(SQL, "text/csv", headers={"Accept-Encoding": "identity"}).content
    assert decode(packed) == plain and len(packed) < len(plain)


def test_quality_values_choose(demo):
    response = demo.post("SELECT 1 AS a", "image/png, text/csv;q=0.5, application/x-ndjson;q=0.9")
    assert response.headers["Content-Type"].startswith("application/x-ndjson")


def test_format_parameter_wins(demo):
    response = demo.http.get(demo.url("/v1/query"), params={"sql": "SELECT 1 AS a", "format": "csv"}, headers={"Accept": "application/json"})
    assert response.text.split() == ["a", "1"]


def test_unknown_media_type_is_406(demo):
    response = demo.post("SELECT 1", "image/png")
    assert response.status_code == 406
    assert response.headers["Content-Type"].startswith("application/problem+json")


def test_polars_and_duckdb_read_the_arrow_stream(demo):
    import duckdb
    import polars

    answer = demo.table(SQL)
    assert polars.from_arrow(answer)["i"].sum() == ROWS * (ROWS + 1) // 2
    assert duckdb.sql("SELECT count(*) FROM answer WHERE s IS NULL").fetchall() == [(ROWS // 10,)]
