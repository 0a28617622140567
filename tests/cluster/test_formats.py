"""Workers read every format, in folders and in S3, as the server alone does; what can not go to them runs here, and says so."""

import json

import pytest

from server import ROOT

DATA = ROOT / "tests" / "sql" / "data"
FILES = {
    "people.parquet": None,
    "people.csv": None,
    "people.tsv": None,
    "people.ndjson": None,
    "people.arrow": None,
    "many/*.parquet": None,
    "evolved/*.parquet": None,
    "types.parquet": None,
    "events/": "CREATE EXTERNAL TABLE {table} STORED AS PARQUET PARTITIONED BY (year, month) LOCATION '{url}'",
}


@pytest.fixture(scope="module")
def filled(store):
    """The store with the files of the SQL corpus."""
    for path in DATA.rglob("*"):
        if path.is_file():
            store.put(f"corpus/{path.relative_to(DATA)}", path.read_bytes())
    return store


@pytest.mark.parametrize("place", ["folder", "s3"])
@pytest.mark.parametrize("name", FILES)
def test_every_format(steady, filled, place, name):
    url = f"{DATA}/{name}" if place == "folder" else filled.url(f"corpus/{name}")
    source = f"'{url}'"
    if FILES[name]:
        source = f"{place}_{name.split('/')[0]}"
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


@pytest.mark.parametrize(("name", "why"), [("people.csv.gz", "compressed"), ("people.ndjson.gz", "compressed"), ("people.avro", "Avro"), ("array.json", "array")])
def test_what_workers_can_not_read_is_read_here(steady, tmp_path, name, why):
    """A plan on the wire does not say how to read these."""
    path = DATA / name
    if not path.exists():
        path = tmp_path / name
        path.write_text(json.dumps([{"a": number} for number in range(3)]))
    sql = f"SELECT * FROM '{path}'"
    session = {"runner": "auto", "cluster_threshold": "0"}
    assert steady.rows(f"SELECT count(*) FROM '{path}'", **session) == steady.local(f"SELECT count(*) FROM '{path}'")
    plan = steady.coordinator.post({"sql": f"EXPLAIN {sql}", "session": session}, "text/plain").text
    assert "runs locally" in plan and why in plan, plan
    refused = steady.ask(sql).outcome()
    assert not refused.answered and refused.problem["code"] == "UNSUPPORTED" and why in refused.problem["detail"], refused


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


def test_an_error_is_the_same_error(steady):
    for sql in ["SELECT 1 / (k - 5) FROM facts", "SELECT (9223372036854775807 - v) + k * 1000 FROM facts", "SELECT t::INT FROM facts"]:
        ours, theirs = steady.ask(sql).outcome(), steady.ask(sql, runner="local").outcome()
        assert not ours.answered and not theirs.answered
        assert (ours.problem["code"], ours.problem["sqlstate"]) == (theirs.problem["code"], theirs.problem["sqlstate"]), (ours, theirs)
        assert not ours.problem["retryable"]
    steady.at_rest()
