"""Statements that are long, deep or slow to plan: they are answered as short ones are, or refused, and nobody else waits."""

import os

import pytest

from server import serving, wait_until
from test_config import change
from test_error_codes import expect
from test_limits import names_key, settings

TERMS = 5000

# Within every limit, and far slower to plan than any deadline here: each column is a deep expression of many columns.
SLOW_TO_PLAN = (
    "SELECT "
    + ", ".join(" / ".join(f"c{(column + term) % 200}" for term in range(450)) + f" AS r{column}" for column in range(200))
    + " FROM (SELECT "
    + ", ".join(f"random() AS c{column}" for column in range(200))
    + ") t"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("deep")) as server:
        yield server


def test_thousands_of_alternatives(server):
    condition = " OR ".join(f"v = {3 * term}" for term in range(TERMS))
    assert server.value(f"SELECT count(*) FROM generate_series(0, {2 * TERMS - 1}) g(v) WHERE {condition}") == len(range(0, 2 * TERMS, 3))


def test_thousands_of_conditions(server):
    condition = " AND ".join(f"v <> {2 * term}" for term in range(TERMS))
    assert server.rows(f"SELECT count(*), min(v) FROM generate_series(0, {2 * TERMS}) g(v) WHERE {condition}") == [(TERMS + 1, 1)]


def test_thousands_of_set_operations(server):
    rows = " UNION ALL ".join(f"SELECT {term} AS v" for term in range(1000))
    assert server.rows(f"SELECT count(*), sum(v) FROM ({rows}) t") == [(1000, 499500)]


REFUSED = {
    "in a row without a comma": "SELECT " + "1-" * 30_000 + "1",
    "limits.max_expression_depth": "SELECT " + "1-" * 19_900 + "1",
    "limits.max_plan_operators": "SELECT 1" + " UNION SELECT 1" * 12_000,
    "limits.max_plan_depth": "WITH c0 AS (SELECT 1 AS x), " + ", ".join(f"c{n + 1} AS (SELECT x + 1 AS x FROM c{n})" for n in range(20_000)) + " SELECT * FROM c20000",
    "limits.max_select_columns": "SELECT " + ", ".join(f"{n} AS c{n}" for n in range(20_000)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_nests_too_deep_is_refused(server, reason):
    response = server.post(REFUSED[reason])
    expect(response, "INVALID_REQUEST", 400, "42000")
    assert reason in response.json()["detail"]


def test_a_long_list_is_not_deep(server):
    assert server.value(f"SELECT array_length([{', '.join(map(str, range(50_000)))}])") == 50_000


@pytest.mark.parametrize(
    ("key", "within", "beyond"),
    [
        ("max_expression_depth", "SELECT 1 + 2 + 3 + 4", "SELECT 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8"),
        ("max_plan_operators", "SELECT 1 UNION ALL SELECT 2", "SELECT 1" + " UNION ALL SELECT 2" * 9),
        ("max_select_columns", "SELECT 1, 2, 3, 4, 5, 6", "SELECT x FROM (SELECT 1 AS x) t GROUP BY x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6"),
        ("max_plan_depth", "SELECT x FROM (SELECT 1 AS x) t", "SELECT 1 FROM " + ", ".join(f"(SELECT 1) t{n}" for n in range(9))),
    ],
)
def test_limits_are_those_of_the_configuration(tmp_path, key, within, beyond):
    with serving(tmp_path, *settings(**{f"limits__{key}": 6})) as server:
        assert server.rows(within)
        response = server.post(beyond)
        expect(response, "INVALID_REQUEST", 400, "42000")
        names_key(response, f"limits.{key} (6)")
        change(server, f"limits.{key}", 60)
        assert server.rows(beyond)


def test_a_deadline_while_a_statement_is_planned(server):
    expect(server.post({"sql": SLOW_TO_PLAN, "timeout_ms": 300}), "TIMEOUT", 504, "57014")
    response = server.http.post(server.url("/v1/validate"), json={"sql": SLOW_TO_PLAN, "session": {"statement_timeout": "300ms"}})
    expect(response, "TIMEOUT", 504, "57014")


def test_planning_ends_when_nobody_waits_for_it(server):
    for _ in range(3):
        expect(server.post({"sql": SLOW_TO_PLAN, "timeout_ms": 300}), "TIMEOUT", 504, "57014")
    wait_until(lambda: "\ntidemill_statements_planning 0\n" in server.http.get(server.url("/metrics")).text, 60, "an end of planning")


def test_others_are_answered_while_statements_are_planned(tmp_path):
    """However many the cores: planning keeps no thread that anybody else needs."""
    with serving(tmp_path) as server:
        slow = [server.submit(SLOW_TO_PLAN)["id"] for _ in range(2 * (os.cpu_count() or 1) + 2)]
        for query_id in slow:
            server.wait_for_state(query_id, "planning")
        assert server.value("SELECT 1 + 1") == 2
        assert {server.status(query_id)["state"] for query_id in slow} == {"planning"}
        for query_id in slow:
            assert server.http.delete(server.url(f"/v1/queries/{query_id}")).ok
        for query_id in slow:
            server.wait_for_state(query_id, "cancelled", seconds=5)


def test_statements_wait_for_a_thread_to_plan_on(tmp_path):
    with serving(tmp_path, *settings(runtime__planning_threads=1)) as server:
        first = server.submit(SLOW_TO_PLAN, timeout_ms=2000)["id"]
        server.wait_for_state(first, "planning")
        expect(server.post({"sql": "SELECT 1", "timeout_ms": 200}), "TIMEOUT", 504, "57014")
