"""DuckDB over the same files as judge, and what makes two results the same."""

import datetime
import decimal
import math
import pathlib

import duckdb

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
QUERIES = sorted((ROOT / "tests" / "sql" / "tpch").glob("q*.sql"))


def over(folder: pathlib.Path) -> duckdb.DuckDBPyConnection:
    """DuckDB with the tables of TPC-H whose Parquet files lie below a folder."""
    connection = duckdb.connect()
    for table in TABLES:
        files = [str(path) for path in pathlib.Path(folder).rglob("*.parquet") if table in (path.stem, path.parent.name)]
        assert files, f"no Parquet file of {table} below {folder}"
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({files})")
    return connection


def text(path: pathlib.Path) -> str:
    """A query of a file."""
    return path.read_text().strip().rstrip(";")


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


def assert_same(ours: list[tuple], theirs: list[tuple]):
    """The same rows. Those that ORDER BY leaves equal may come in any order, with LIMIT too few to matter at small scales."""
    ours, theirs = [[tuple(map(canonical, row)) for row in rows] for rows in (ours, theirs)]
    assert len(ours) == len(theirs)
    for left, right in zip(sorted(ours, key=sort_key), sorted(theirs, key=sort_key), strict=True):
        assert all(same(a, b) for a, b in zip(left, right, strict=True)), (left, right)
