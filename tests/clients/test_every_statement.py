"""Every kind of statement where it is only looked at: explained, validated, run dry. None makes the server fail."""

import pytest

STATEMENTS = [
    "SELECT 1",
    "VALUES (1), (2)",
    "TABLE demo.public.nation",
    "WITH t AS (SELECT 1 AS a) SELECT * FROM t",
    "SELECT * FROM generate_series(1, 3)",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN ANALYZE VERBOSE SELECT 1",
    "EXPLAIN FORMAT TREE SELECT 1",
    "EXPLAIN EXPLAIN SELECT 1",
    "EXPLAIN INSERT INTO seen VALUES (1)",
    "EXPLAIN SHOW TABLES",
    "EXPLAIN SET time_zone = 'UTC'",
    "EXPLAIN EXECUTE nope",
    "EXPLAIN CREATE TABLE t AS SELECT 1 AS a",
    "EXPLAIN DROP TABLE seen",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1 AS a",
    "EXPLAIN ANALYZE DROP TABLE seen",
    "DESCRIBE demo.public.nation",
    "DESCRIBE SELECT 1",
    "SHOW TABLES",
    "SHOW TABLES FROM nowhere",
    "SHOW SCHEMAS",
    "SHOW CATALOGS",
    "SHOW COLUMNS FROM demo.public.nation",
    "SHOW FUNCTIONS",
    "SHOW CREATE TABLE seen",
    "SHOW time_zone",
    "SHOW ALL",
    "SET time_zone = 'UTC'",
    "RESET time_zone",
    "RESET ALL",
    "USE demo",
    "USE nowhere",
    "PREPARE p AS SELECT $1",
    "EXECUTE p(1)",
    "DEALLOCATE p",
    "KILL QUERY '01890a5d-ac96-774b-bcce-b302099a8057'",
    "CREATE TABLE t (a INT)",
    "CREATE TABLE t AS SELECT 1 AS a",
    "CREATE TEMPORARY VIEW v AS SELECT 1 AS a",
    "CREATE VIEW v AS SELECT 1 AS a",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '/no/such/file.csv'",
    "CREATE FUNCTION f(a INT) RETURNS INT RETURN a",
    "CREATE INDEX i ON seen (x)",
    "DROP TABLE seen",
    "DROP VIEW nope",
    "DROP SCHEMA nope",
    "DROP FUNCTION nope",
    "ALTER TABLE seen ADD COLUMN y INT",
    "TRUNCATE TABLE seen",
    "INSERT INTO seen VALUES (1)",
    "UPDATE seen SET x = 1",
    "DELETE FROM seen",
    "MERGE INTO seen AS t USING seen AS s ON t.x = s.x WHEN MATCHED THEN DELETE",
    "COPY seen TO '/no/such/folder/out.parquet'",
    "COPY (SELECT 1 AS a, 2 AS b) TO '/no/such/folder/' STORED AS PARQUET PARTITIONED BY (b)",
    "START TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "GRANT SELECT ON seen TO ann",
    "ANALYZE TABLE seen",
    "VACUUM",
    "CALL f()",
    "DECLARE c CURSOR FOR SELECT 1",
    "LISTEN channel",
    "SELECT $1",
    "SELECT 1; SELECT 2",
    "",
    ";",
]


@pytest.fixture(scope="module")
def looked_at(demo):
    assert demo.post("CREATE TABLE seen AS SELECT 1 AS x").status_code == 200
    yield demo
    assert demo.rows("SELECT x FROM seen") == [(1,)], "looking changed something"
    demo.post("DROP TABLE seen")


def asked(demo, sql):
    """The statement at every place that only looks at it; with `analyze`, what is looked at is run."""
    reads = sql.startswith(("SELECT", "VALUES", "WITH", "TABLE", "SHOW", "DESCRIBE", "EXPLAIN"))
    explained = [{"format": form} for form in ["text", "tree", "json"]] + [{"analyze": True}] * reads
    for options in explained:
        yield f"explain {options}", demo.http.post(demo.url("/v1/explain"), json={"sql": sql} | options)
    yield "validate", demo.http.post(demo.url("/v1/validate"), json={"sql": sql})
    yield "dry run", demo.post({"sql": sql, "dry_run": True})
    for explain in ["plan", "analyze"] if reads else ["plan"]:
        yield f"dry run of explain {explain}", demo.post({"sql": sql, "dry_run": True, "explain": explain})
        yield f"explain {explain}", demo.post({"sql": sql, "explain": explain})


@pytest.mark.parametrize("sql", STATEMENTS)
def test_looking_at_a_statement_never_fails_the_server(looked_at, sql):
    for where, response in asked(looked_at, sql):
        # 501: the server does not know the statement; anything else above is its own failure.
        assert response.status_code < 500 or response.status_code == 501, (where, response.status_code, response.text)
        if response.status_code >= 400:
            document = response.json()
            assert document["code"] != "INTERNAL" and document["detail"], (where, document)


def test_an_explain_is_not_explained(looked_at):
    for sql in ["EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1"]:
        for options in [{}, {"format": "json"}, {"analyze": True}]:
            refused = looked_at.http.post(looked_at.url("/v1/explain"), json={"sql": sql} | options)
            assert refused.status_code == 400, refused.text
            assert "EXPLAIN" in refused.json()["detail"] and refused.json()["hint"]
        validated = looked_at.http.post(looked_at.url("/v1/validate"), json={"sql": sql})
        assert validated.status_code == 200 and validated.json()["kind"] == "query", validated.text
