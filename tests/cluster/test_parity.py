"""The cluster answers as DuckDB does: TPC-H, by any number of workers, in as many partitions as there are slots or in more."""

import contextlib

import duckdb
import pytest

import oracle
from cluster import Cluster

ALL = [(3, 1), (1, 1), (3, 4), (1, 4)]


@pytest.fixture(scope="module", params=[ALL[0], *(pytest.param(case, marks=pytest.mark.soak) for case in ALL[1:])], ids=lambda case: f"{case[0]}-by-{case[1]}")
def planned(request, tmp_path_factory, tpch, config):
    """A cluster of so many workers, with so many partitions for each slot, whose tables are those of TPC-H."""
    workers, partitions = request.param
    own = tmp_path_factory.mktemp("parity")
    tables = own / "tpch.toml"
    tables.write_text(config.read_text().replace('catalog = "lake"', 'catalog = "tpch"') + f'\n[catalogs.tpch.schemas.public]\nlocation = "{tpch}"\n')
    with contextlib.closing(Cluster(own, tables, "--set", f"cluster.partitions_per_slot={partitions}", "--set", "cluster.runtime_filter_rows=1000")) as made:
        for _ in range(workers):
            made.start_worker()
        yield made
        print(made.logs())


@pytest.fixture(scope="module")
def judge(tpch):
    return oracle.over(tpch)


@pytest.mark.parametrize("path", oracle.QUERIES, ids=lambda path: path.stem)
def test_tpch(planned, judge, path):
    sql = oracle.text(path)
    query = planned.ask(sql, arrow=True)
    outcome = query.outcome(240)
    assert outcome.answered, outcome.problem
    planned.assert_ran_on_workers(query.id)
    oracle.assert_same(outcome.rows, judge.execute(sql).fetchall())


def test_every_worker_has_a_share(planned):
    if len(planned.workers) == 1:
        pytest.skip("one worker has it all")
    query = planned.ask("SELECT l_partkey, sum(l_quantity) AS q FROM lineitem GROUP BY l_partkey ORDER BY q DESC, l_partkey LIMIT 20")
    assert query.outcome(240).answered
    assert {task["worker"] for task in query.tasks()} == {worker.id for worker in planned.workers}


def test_rows_without_a_partner_are_dropped_before_they_are_exchanged(planned, judge):
    if len(planned.workers) == 1:
        pytest.skip("one worker exchanges nothing")
    sql = "SELECT sum(l_extendedprice) FROM orders JOIN lineitem ON o_orderkey = l_orderkey WHERE o_orderkey IN " \
          "(SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING sum(l_quantity) > 300)"
    query = planned.ask(sql, arrow=True)
    oracle.assert_same(query.outcome(240).rows, judge.execute(sql).fetchall())
    filtered = [stage for stage in query.stages() if "KeyFilterExec" in stage["plan"]]
    assert filtered, [stage["plan"] for stage in query.stages()]
    [(items,)] = judge.execute("SELECT count(*) FROM lineitem").fetchall()
    assert 0 < sum(int(stage["rows"]) for stage in filtered) < items / 100


def test_texts_are_not_written_again_with_every_batch(planned):
    """Columns of texts share what was read; a filter leaves a part of it, and no file gets all of it."""
    sql = "SELECT l_comment FROM lineitem JOIN orders ON l_orderkey = o_orderkey WHERE l_quantity > 0"
    query = planned.ask(sql, arrow=True)
    rows = query.outcome(240).rows
    texts = sum(len(text) for (text,) in rows)
    written = max(int(stage["bytes"]) for stage in query.stages())
    assert len(rows) < written < 4 * texts, (texts, written)


def test_order_is_kept_across_partitions(planned):
    sql = "SELECT l_orderkey, l_linenumber FROM lineitem WHERE l_orderkey % 7 = 0 ORDER BY l_orderkey DESC, l_linenumber"
    rows = planned.rows(sql)
    assert len(rows) > 10_000 and rows == sorted(rows, key=lambda row: (-row[0], row[1]))


def test_deep(planned, deep, lake):
    judge = duckdb.connect()
    judge.execute(f"CREATE VIEW facts AS SELECT * FROM '{lake}/facts/*.parquet'")
    sql = deep.replace("FROM facts", "FROM lake.public.facts")
    assert planned.rows(sql) == [tuple(map(int, row)) for row in judge.execute(deep).fetchall()]


def test_at_rest_after_all_that(planned):
    planned.at_rest()
