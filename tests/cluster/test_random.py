"""Queries made by chance, computed by workers, answered as DuckDB answers them: each shape puts another exchange between stages.

The chance is the same each time; a failure shows the whole query.
"""

import contextlib
import random

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

from by_chance import join, member, ordered
from cluster import Cluster

FILES, ROWS, QUERIES = 3, 12, 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The tables, in files enough for every worker to have some; few different values, so that keys meet, and nulls."""
    chance = random.Random(1)
    folder = tmp_path_factory.mktemp("random")
    for table in ("l", "r", "s"):
        (folder / table).mkdir()
        for part in range(FILES):
            columns = {name: pa.array([chance.choice([None, *range(6)]) for _ in range(ROWS)], pa.int32()) for name in "ab"}
            pyarrow.parquet.write_table(pa.table(columns), folder / table / f"{part}.parquet")
    return folder


# By 0 bytes no side of a join is small enough to be collected, so that both are exchanged, and one may filter the other.
@pytest.fixture(scope="module", params=["32MiB", "0"], ids=lambda limit: f"broadcast-{limit}")
def made(request, tmp_path_factory, folder, config):
    own = tmp_path_factory.mktemp("random")
    tables = own / "random.toml"
    tables.write_text(config.read_text().replace('catalog = "lake"', 'catalog = "random"') + f'\n[catalogs.random.schemas.public]\nlocation = "{folder}"\n')
    with contextlib.closing(Cluster(own, tables, "--set", f"cluster.broadcast_limit={request.param}", "--set", "cluster.runtime_filter_rows=1")) as made:
        for _ in range(2):
            made.start_worker()
        yield made
        print(made.logs())


def shaped(chance: random.Random) -> tuple[str, bool]:
    """A query, and whether its rows have an order."""
    inner = chance.choice([join, member])(chance)
    columns = "a, b" if inner.startswith("SELECT l.a, l.b FROM") else "a, b, c, d"
    last = columns[-1]
    return chance.choice([
        (inner, False),
        (f"SELECT a, count(*), sum(b), min({last}) FROM ({inner}) q GROUP BY a", False),
        (f"SELECT count(*), count(DISTINCT a), sum({last}) FROM ({inner}) q", False),
        (f"SELECT DISTINCT a, {last} FROM ({inner}) q", False),
        (f"SELECT {columns} FROM ({inner}) q ORDER BY {columns}", True),
        (f"SELECT {columns} FROM ({inner}) q ORDER BY {columns} LIMIT 7 OFFSET 2", True),
        (f"SELECT a, b FROM ({inner}) q UNION ALL SELECT a, b FROM s ORDER BY a, b", True),
        (f"SELECT a, b FROM (SELECT a, b FROM r ORDER BY a, b LIMIT 5) x UNION ALL SELECT a, b FROM ({inner}) q", False),
        (f"SELECT a, b FROM ({inner}) q {chance.choice(['INTERSECT', 'EXCEPT', 'UNION'])} SELECT a, b FROM s", False),
        (f"SELECT a, b, row_number() OVER (PARTITION BY a ORDER BY {columns}) AS n FROM ({inner}) q", False),
        (f"SELECT a, sum(b) OVER (ORDER BY {columns} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS n FROM ({inner}) q", False),
        (f"SELECT q.a, q.b, t.n FROM ({inner}) q LEFT JOIN (SELECT b, count(*) AS n FROM s GROUP BY b) t ON t.b = q.a ORDER BY q.a, q.b, t.n", True),
        (f"SELECT a, b FROM ({inner}) q WHERE b >= (SELECT min(b) FROM s) OR a = (SELECT max(a) FROM r)", False),
    ])


def test_answers(made, folder):
    judge = duckdb.connect()
    judge.execute("SET default_null_order = 'nulls_last'")
    for table in ("l", "r", "s"):
        judge.execute(f"CREATE VIEW {table} AS SELECT * FROM '{folder}/{table}/*.parquet'")
    for seed in range(QUERIES):
        sql, has_order = shaped(random.Random(seed))
        query = made.ask(sql, arrow=True, runner="auto", cluster_threshold="0")
        outcome = query.outcome()
        assert outcome.answered, (sql, outcome.problem)
        ours = [tuple(value if value is None else int(value) for value in row) for row in outcome.rows]
        theirs = [tuple(value if value is None else int(value) for value in row) for row in judge.execute(sql).fetchall()]
        assert (ours == theirs) if has_order else (ordered(ours) == ordered(theirs)), sql
    # The rest says why it can not go.
    [row] = made.table("SELECT count(*) AS n FROM system.queries WHERE runner = 'cluster'")
    away = int(row["n"])
    assert away > QUERIES // 2, f"{away} of {QUERIES} queries were computed by workers"


def test_at_rest_after_all_that(made):
    made.at_rest()
