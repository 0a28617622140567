"""The 22 queries of TPC-H on the demo tables, answered as DuckDB answers them on the same files."""

import pytest

import oracle


@pytest.fixture(scope="module")
def duckdb(demo):
    """DuckDB over the demo's own Parquet files."""
    return oracle.over(demo.data_dir / "demo")


def test_there_are_22():
    assert [path.stem for path in oracle.QUERIES] == [f"q{number:02}" for number in range(1, 23)]


@pytest.mark.parametrize("path", oracle.QUERIES, ids=lambda path: path.stem)
def test_query(demo, duckdb, path):
    sql = oracle.text(path)
    ours = demo.rows({"sql": sql, "catalog": "demo", "schema": "public"})
    oracle.assert_same(ours, duckdb.execute(sql).fetchall())
