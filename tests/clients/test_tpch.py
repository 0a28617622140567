"""The 22 queries of TPC-H on the demo tables, answered as DuckDB answers them on the same files."""

import datetime
import decimal
import math
import pathlib

import duckdb
import pytest

from server import ROOT

QUERIES = sorted((ROOT / "tests" / "sql" / "tpch").glob("q*.sql"))
TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]


@pytest.fixture(scope="module")
def oracle(demo):
    """DuckDB over the demo's own Parquet files."""
    connection = duckdb.connect()
    for table in TABLES:
        files = [str(path) for path in pathlib.Path(demo.data_dir, "demo").rglob("*.parquet") if table in (path.stem, path.parent.name)]
        assert files, f"no Parquet file of {table} below {demo.data_dir}/demo"
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({files})")
    return connection


def canonical(value):
    """Dates as dates, integers as floats: how exact a type is may differ, what it says may not."""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, datetime.datetime):
        return value.date() if value.time() == datetime.time() else value
    return value.rstrip() if isinstance(value, str) else value


def same(ours, theirs) -> bool:
    """Floats to 1e-9; a decimal, which DuckDB averages and divides as a float, to its own last digit."""
    numbers = (float, decimal.Decimal)
    if not (isinstance(ours, numbers) and isinstance(theirs, numbers)):
        return ours == theirs
    digits = [value.as_tuple().exponent for value in (ours, theirs) if isinstance(value, decimal.Decimal)]
    last_digit = 10.0 ** max(digits) if len(digits) == 1 else 1e-9
    return math.isclose(float(ours), float(theirs), rel_tol=1e-9, abs_tol=last_digit)


def sort_key(row):
    return [(value is None, f"{float(value):.6g}" if isinstance(value, (float, decimal.Decimal)) else str(value)) for value in row]


def test_there_are_22():
    assert [path.stem for path in QUERIES] == [f"q{number:02}" for number in range(1, 23)]


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_query(demo, oracle, path):
    sql = path.read_text().strip().rstrip(";")
    ours = [tuple(map(canonical, row)) for row in demo.rows({"sql": sql, "catalog": "demo", "schema": "public"})]
    theirs = [tuple(map(canonical, row)) for row in oracle.execute(sql).fetchall()]
    assert len(ours) == len(theirs)
    # Rows that ORDER BY leaves equal may come in any order, with LIMIT too few to matter at this scale.
    ours, theirs = sorted(ours, key=sort_key), sorted(theirs, key=sort_key)
    for left, right in zip(ours, theirs, strict=True):
        assert all(same(a, b) for a, b in zip(left, right, strict=True)), (left, right)
