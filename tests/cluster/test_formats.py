"""Workers read every format, in folders and in S3, as the server alone does."""

import bz2
import json
import re
import shutil

import pytest

from server import ROOT

DATA = ROOT / "tests" / "sql" / "data"
FILES = {
    "people.parquet": None,
    "people.csv": None,
    "people.tsv": None,
    "people.ndjson": None,
    "people.arrow": None,
    "people.arrows": None,
    "people.avro": None,
    "people.csv.gz": None,
    "people.csv.bz2": None,
    "people.ndjson.gz": None,
    "array.json": None,
    "colons.csv": "CREATE EXTERNAL TABLE {table} (a BIGINT, b TEXT) STORED AS CSV LOCATION '{url}' OPTIONS (has_header true, terminator ':')",
    "many/*.parquet": None,
    "evolved/*.parquet": None,
    "types.parquet": None,
    "events/": "CREATE EXTERNAL TABLE {table} STORED AS PARQUET PARTITIONED BY (year, month) LOCATION '{url}'",
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The files of the SQL corpus, and some in forms that plans on the wire have no words for."""
    folder = tmp_path_factory.mktemp("corpus") / "data"
    shutil.copytree(DATA, folder)
    array = json.dumps([{"a": number, "b": {"c": f"text {number}"}, "d": [number] * 3} for number in range(300)]).encode()
    (folder / "array.json").write_bytes(array)
    (folder / "people.csv.bz2").write_bytes(bz2.compress((DATA / "people.csv").read_bytes()))
    (folder / "colons.csv").write_text(":".join(["a,b", *(f"{number},x{number}" for number in range(300))]))
    return folder


@pytest.fixture(scope="module")
def filled(store, corpus):
    """The store with these files."""
    for path in corpus.rglob("*"):
        if path.is_file():
            store.put(f"corpus/{path.relative_to(corpus)}", path.read_bytes())
    return store


@pytest.mark.parametrize("place", ["folder", "s3"])
@pytest.mark.parametrize("name", FILES)
def test_every_format(steady, filled, corpus, place, name):
    url = f"{corpus}/{name}" if place == "folder" else filled.url(f"corpus/{name}")
    source = f"'{url}'"
    if FILES[name]:
        source = f"{place}_{re.split('[./]', name)[0]}"
        created = steady.coordinator.post(FILES[name].format(table=source, url=url).replace("EXTERNAL TABLE", "EXTERNAL TABLE IF NOT EXISTS"))
        assert created.status_code == 200, created.text
    sql = f"SELECT * FROM {source}"
    # In the form of Arrow, where no digit and no type is lost.
    query, local = steady.ask(sql, arrow=True), steady.ask(sql, arrow=True, runner="local")
    ours, theirs = query.outcome(), local.outcome()
    assert ours.answered and theirs.answered, (ours.problem, theirs.problem)
    assert sorted(map(repr, ours.rows)) == sorted(map(repr, theirs.rows)) and ours.rows
    steady.assert_ran_on_workers(query.id)
    grouped = f"SELECT count(*) AS n FROM (SELECT DISTINCT * FROM {source})" if name != "types.parquet" else f"SELECT count(*) AS n FROM {source}"
    assert steady.rows(grouped) == steady.local(grouped)
    counted = f"SELECT count(*) FROM {source}"
    assert steady.rows(counted) == steady.local(counted)


def test_the_store_is_read_by_workers(steady, filled):
    created = steady.coordinator.post(f"CREATE EXTERNAL TABLE IF NOT EXISTS read_there STORED AS PARQUET LOCATION '{filled.url('facts/')}'")
    assert created.status_code == 200, created.text
    steady.local("SELECT sum(v) FROM read_there")
    query = steady.ask("SELECT sum(v) FROM read_there")
    assert query.outcome().answered
    steady.assert_ran_on_workers(query.id)
    assert sum(task["bytes_read"] for task in query.tasks()) > 0


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(v) FILTER (WHERE v > 10), avg(v), round(stddev(v), 6), approx_distinct(k), median(v) FROM facts",
        "SELECT k % 5 AS g, array_agg(v ORDER BY v) FROM facts WHERE k < 50 GROUP BY g ORDER BY g",
        "SELECT k, v, row_number() OVER (PARTITION BY v % 10 ORDER BY k) AS r, sum(v) OVER (ORDER BY k) AS s FROM facts ORDER BY k",
        "SELECT json_get_str('{\"a\": \"' || t || '\"}', 'a') AS a FROM facts WHERE k < 20 ORDER BY a",
        "SELECT v::BIGINT + k AS s, v * k AS p FROM facts ORDER BY s, p LIMIT 30",
        "SELECT sum(v::SMALLINT) FROM facts",
        "SELECT * FROM facts WHERE v > (SELECT avg(v) FROM facts) ORDER BY k",
        "SELECT a.k FROM facts a WHERE NOT EXISTS (SELECT 1 FROM facts b WHERE b.k = a.k + 1 AND b.v > 500) ORDER BY 1",
        "SELECT k FROM facts WHERE k NOT IN (SELECT k + 1 FROM facts WHERE v > 500) ORDER BY 1",
        "SELECT count(*) FROM facts a FULL JOIN facts b ON a.k = b.k + 400 WHERE a.k IS NULL OR b.k IS NULL",
        "SELECT count(*), sum(k) FROM (SELECT k FROM facts WHERE v < 300 UNION ALL SELECT k FROM facts WHERE v > 700)",
        "SELECT k FROM facts INTERSECT SELECT k * 2 FROM facts ORDER BY 1",
        "SELECT v % 4 AS a, v % 3 AS b, count(*) FROM facts GROUP BY ROLLUP (v % 4, v % 3) ORDER BY 1, 2",
        "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r WHERE x < 20) SELECT x, (SELECT count(*) FROM facts) AS n FROM r ORDER BY x",
        "SELECT DISTINCT ON (v % 10) v % 10 AS g, k FROM facts ORDER BY v % 10, k",
        "SELECT k, date_trunc('month', TIMESTAMP '2026-01-31 10:00:00' + k * INTERVAL '1 day') AS m FROM facts ORDER BY k LIMIT 50",
        "SELECT * FROM facts ORDER BY t LIMIT 7 OFFSET 13",
        "SELECT count(*) FROM facts WHERE t LIKE '%ab%' OR regexp_like(t, '^[0-4]')",
    ],
    ids=lambda sql: sql[:48],
)
def test_functions_and_operators(steady, sql):
    """Each as the server alone: what workers can not compute runs here, and nothing in between."""
    ours = steady.ask(sql, arrow=True, runner="auto", cluster_threshold="0").outcome()
    theirs = steady.ask(sql, arrow=True, runner="local").outcome()
    assert ours.answered and theirs.answered, (ours.problem, theirs.problem)
    assert ours.rows == theirs.rows


WRITES = {
    "file": "COPY (SELECT t, count(*) AS n, sum(v) AS v FROM facts GROUP BY t ORDER BY t) TO '{place}/out.parquet'",
    "folder": "COPY (SELECT k, t, v, v % 7 AS g FROM facts) TO '{place}/out/' STORED AS PARQUET PARTITIONED BY (g)",
    "csv": "COPY (SELECT * FROM facts WHERE v > 500) TO '{place}/out.csv'",
    "nothing": "COPY (SELECT k, t FROM facts WHERE v < 0) TO '{place}/out/' STORED AS PARQUET",
}


@pytest.mark.parametrize("name", WRITES)
def test_workers_read_what_the_server_writes(steady, tmp_path, name):
    written = {}
    for runner in ["local", "cluster"]:
        place = tmp_path / runner
        query = steady.ask(WRITES[name].format(place=place), runner=runner)
        outcome = query.outcome()
        assert outcome.answered, outcome.problem
        assert bool(query.tasks()) is True and {task["worker"] == "local" for task in query.tasks()} == {runner == "local"}
        out = next(place.iterdir())
        source = f"'{out}/**/*.parquet'" if out.is_dir() else f"'{out}'"
        written[runner] = outcome.rows, out.name, sorted(steady.local(f"SELECT k, t, v FROM {source}" if name == "folder" else f"SELECT * FROM {source}"))
    assert written["cluster"] == written["local"]
    explained = steady.coordinator.post({"sql": "EXPLAIN " + WRITES[name].format(place=tmp_path), "session": {"runner": "cluster"}}, "text/plain").text
    assert "DataSinkExec" in explained and "Stage 1" in explained and "runs locally" not in explained, explained
    steady.at_rest()


def test_a_write_that_fails_on_workers_leaves_nothing(steady, tmp_path):
    outcome = steady.ask(f"COPY (SELECT 1 / (k - 799) AS x FROM facts) TO '{tmp_path}/out/' STORED AS PARQUET").outcome()
    assert not outcome.answered and outcome.problem["code"] == "DIVISION_BY_ZERO", outcome
    assert list(tmp_path.iterdir()) == []
    steady.at_rest()


def test_writes_that_workers_can_not_read_for_run_here(steady, tmp_path):
    """A session that wants the cluster may write all the same."""
    for sql in ["COPY (VALUES (1, 'a')) TO '{place}/one.csv'", "CREATE TABLE kept AS SELECT * FROM facts", "INSERT INTO kept SELECT * FROM facts", "DROP TABLE kept"]:
        outcome = steady.ask(sql.format(place=tmp_path)).outcome()
        assert outcome.answered, outcome.problem


def test_an_error_is_the_same_error(steady):
    for sql in ["SELECT 1 / (k - 5) FROM facts", "SELECT (9223372036854775807 - v) + k * 1000 FROM facts", "SELECT t::INT FROM facts"]:
        ours, theirs = steady.ask(sql).outcome(), steady.ask(sql, runner="local").outcome()
        assert not ours.answered and not theirs.answered
        assert (ours.problem["code"], ours.problem["sqlstate"]) == (theirs.problem["code"], theirs.problem["sqlstate"]), (ours, theirs)
        assert not ours.problem["retryable"]
    steady.at_rest()
