"""What is told of tables and statements without running a query: statistics, samples, searches, validation."""

import datetime
import decimal

import pyarrow
import pyarrow.parquet
import pytest

from server import serving
from test_error_codes import expect
from test_lifecycle import auth_config

HOME = "/v1/catalogs/tidemill/schemas/public/tables"


def statistics(server, path):
    response = server.http.get(server.url(path), params={"stats": "true"})
    assert response.status_code == 200, response.text
    document = response.json()
    return document["statistics"], {column["name"]: column for column in document["statistics"]["columns"]}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two Parquet files with the same columns."""
    folder = tmp_path_factory.mktemp("two")
    for number in range(2):
        start = number * 100
        table = pyarrow.table(
            {
                "n": pyarrow.array([None, *range(start + 1, start + 100)], pyarrow.int64()),
                "d": pyarrow.array([decimal.Decimal(start) / 4] * 100, pyarrow.decimal128(10, 2)),
                "at": pyarrow.array([datetime.datetime(2024, 1, 1 + number, tzinfo=datetime.UTC)] * 100, pyarrow.timestamp("us", "UTC")),
                "s": [f"name {start + row:03}" for row in range(100)],
            }
        )
        pyarrow.parquet.write_table(table, folder / f"{number}.parquet")
    return folder


def test_of_parquet_files(fresh, files):
    fresh.table(f"CREATE EXTERNAL TABLE two STORED AS PARQUET LOCATION '{files}/'")
    whole, columns = statistics(fresh, f"{HOME}/two")
    assert whole["rows"] == {"value": 200, "exact": True}
    size = sum(path.stat().st_size for path in files.iterdir())
    assert whole["bytes"] == {"value": size, "exact": True}
    assert columns["n"]["nulls"] == {"value": 2, "exact": True}
    assert (columns["n"]["min"], columns["n"]["max"]) == ({"value": 1, "exact": True}, {"value": 199, "exact": True})
    # As in JSON results: decimals are text, moments follow RFC 3339.
    assert columns["d"]["min"]["value"] == "0.00" and columns["d"]["max"]["value"] == "25.00"
    assert columns["at"]["max"]["value"].startswith("2024-01-02T00:00:00") and columns["at"]["max"]["value"].endswith("Z")
    assert columns["s"]["min"]["value"] == "name 000"
    # New files count at once.
    fresh.table("INSERT INTO two VALUES (1000, 1, TIMESTAMP '2025-01-01', 'z')")
    whole, columns = statistics(fresh, f"{HOME}/two")
    assert whole["rows"]["value"] == 201 and columns["n"]["max"]["value"] == 1000


def test_of_a_table_in_memory(fresh):
    fresh.table(
        "CREATE TABLE m AS SELECT value AS n, CASE WHEN value % 4 = 0 THEN NULL ELSE 's' || value END AS s, "
        "DATE '2024-01-01' AS d, [value] AS l FROM generate_series(1, 20000) g(value)"
    )
    fresh.table("INSERT INTO m VALUES (-5, NULL, DATE '2030-12-31', NULL)")
    whole, columns = statistics(fresh, f"{HOME}/m")
    assert whole["rows"] == {"value": 20001, "exact": True} and whole["bytes"]["value"] > 20001 * 8
    assert (columns["n"]["min"]["value"], columns["n"]["max"]["value"]) == (-5, 20000)
    assert columns["s"]["nulls"] == {"value": 5001, "exact": True}
    assert columns["d"]["max"] == {"value": "2030-12-31", "exact": True}
    expected = fresh.rows("SELECT min(s), max(s) FROM m")[0]
    assert (columns["s"]["min"]["value"], columns["s"]["max"]["value"]) == expected
    fresh.table("DELETE FROM m")
    whole, columns = statistics(fresh, f"{HOME}/m")
    assert whole["rows"]["value"] == 0 and columns["n"]["min"] is None and columns["n"]["nulls"]["value"] == 0


def test_of_what_nobody_knows(fresh, tmp_path):
    (tmp_path / "a.csv").write_text("k,v\n1,x\n2,\n")
    fresh.table(f"CREATE EXTERNAL TABLE c STORED AS CSV LOCATION '{tmp_path}/a.csv' OPTIONS ('format.has_header' 'true')")
    fresh.table("CREATE VIEW v AS SELECT k FROM c WHERE k > 1")
    whole, columns = statistics(fresh, f"{HOME}/c")
    assert whole["rows"] is None and whole["bytes"] == {"value": 11, "exact": True}
    assert columns["k"] == {"name": "k", "nulls": None, "distinct": None, "min": None, "max": None}
    assert list(statistics(fresh, f"{HOME}/v")[1]) == ["k"]
    assert "catalog" in statistics(fresh, "/v1/catalogs/tidemill/schemas/system/tables/tables")[1]


def test_only_for_who_asks_and_not_of_broken_tables(fresh, tmp_path):
    fresh.table("CREATE TABLE m AS SELECT 1 AS n")
    detail = fresh.http.get(fresh.url(f"{HOME}/m")).json()
    assert "statistics" not in detail and "sample" not in detail and detail["rows"] == 1
    both = fresh.http.get(fresh.url(f"{HOME}/m"), params={"stats": "true", "sample": 3}).json()
    assert both["sample"] == [[1]] and both["statistics"]["rows"]["value"] == 1
    (tmp_path / "b.parquet").write_text("not parquet")
    fresh.post(f"CREATE EXTERNAL TABLE b (x BIGINT) STORED AS PARQUET LOCATION '{tmp_path}/b.parquet'")
    broken = fresh.http.get(fresh.url(f"{HOME}/b"), params={"stats": "true"})
    assert broken.status_code in (200, 400, 404, 422) and broken.json().get("statistics") is None


def test_searches(demo):
    def names(path, key, q):
        listed = demo.http.get(demo.url(path), params={"q": q}).json()[key]
        return [entry["name"] for entry in listed]

    assert names("/v1/catalogs", "catalogs", "DEMO") == ["demo"]
    assert names("/v1/catalogs/demo", "schemas", "pub") == ["public"]
    assert names("/v1/catalogs/demo/schemas/public/tables", "tables", "ATIO") == ["nation"]
    assert names("/v1/catalogs/demo/schemas/public/tables", "tables", "%") == []
    assert "upper" in names("/v1/functions", "functions", "uppe")


def validate(server, sql, **options):
    return server.http.post(server.url("/v1/validate"), json={"sql": sql}, **options)


def test_validation_names_every_table_in_full(fresh):
    fresh.table("CREATE SCHEMA s")
    fresh.table("CREATE TABLE s.t AS SELECT 1 AS x")
    fresh.table("CREATE TABLE t AS SELECT 1 AS x")
    fresh.table("CREATE VIEW s.v AS SELECT x FROM s.t")
    tables = lambda sql: validate(fresh, sql).json()["tables"]  # noqa: E731
    assert tables("SELECT * FROM t") == ["tidemill.public.t"]
    assert tables("SELECT * FROM s.t JOIN t USING (x)") == ["tidemill.public.t", "tidemill.s.t"]
    assert tables("SELECT * FROM s.v WHERE x IN (SELECT x FROM t)") == ["tidemill.public.t", "tidemill.s.t", "tidemill.s.v"]
    assert tables("INSERT INTO s.t SELECT * FROM t") == ["tidemill.public.t", "tidemill.s.t"]
    assert tables("SELECT state FROM system.queries") == ["tidemill.system.queries"]
    assert tables("SELECT 1 AS a") == []


def test_validation_tells_what_it_takes(fresh):
    fresh.table("CREATE TABLE t AS SELECT 1 AS x")
    for sql, kind, effect, role in [
        ("SELECT * FROM t", "query", "read", "reader"),
        ("INSERT INTO t VALUES (2)", "dml", "write", "writer"),
        ("CREATE TABLE u AS SELECT * FROM t", "ddl", "write", "writer"),
        ("DROP TABLE t", "ddl", "write", "writer"),
        ("SET row_limit = 5", "utility", "session", "reader"),
        ("EXPLAIN SELECT 1", "query", "read", "reader"),
    ]:
        document = validate(fresh, sql).json()
        assert (document["kind"], document["permissions"]) == (kind, {"effect": effect, "role": role}), sql
    assert fresh.rows("SELECT x FROM t") == [(1,)], "nothing was run"
    assert validate(fresh, "SELECT * FROM t").json()["estimated_rows"] == 1


def test_validation_refuses_what_running_would(tmp_path):
    with serving(tmp_path / "data", "--config", str(auth_config(tmp_path))) as server:
        bearer = {"headers": {"Authorization": "Bearer tm-test-token"}}
        for sql in ["CREATE TABLE t AS SELECT 1 AS x", "CREATE VIEW v AS SELECT 1 AS x", "CREATE SCHEMA s", "DROP TABLE t"]:
            expect(validate(server, sql, **bearer), "FORBIDDEN", 403, "42501")
        assert validate(server, "SELECT 1 AS x", **bearer).status_code == 200
        expect(validate(server, "BEGIN", auth=("ann", "secret")), "UNSUPPORTED", 501, "0A000")
