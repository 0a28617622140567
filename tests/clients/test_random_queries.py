"""Queries made by chance, answered as DuckDB answers them: joins with conditions on either side, and memberships, where nulls decide; numbers
and operators.

The chance is the same each time; a failure shows the whole query, with its rows.
"""

import random

import duckdb
import pytest

from by_chance import join, member, ordered

ROWS = 8


def values(chance: random.Random) -> str:
    """Few different values, so that keys meet, and many nulls."""
    def value():
        return "NULL" if chance.random() < 0.25 else str(chance.randrange(4))

    rows = ", ".join(f"({value()}, {value()})" for _ in range(chance.randrange(1, ROWS)))
    # The types are given, because all values may be null.
    return f"SELECT CAST(a AS INT) AS a, CAST(b AS INT) AS b FROM (VALUES {rows}) v(a, b)"


@pytest.mark.parametrize("query", [join, member], ids=lambda query: query.__name__)
def test_answers(demo, query):
    oracle = duckdb.connect()
    for seed in range(100):
        chance = random.Random(seed)
        tables = ", ".join(f"{name} AS ({values(chance)})" for name in ("l", "r", "s"))
        sql = f"WITH {tables} {query(chance)}"
        ours, theirs = demo.rows(sql), oracle.execute(sql).fetchall()
        assert ordered(ours) == ordered(theirs), sql


def digits(chance: random.Random, whole: int, fraction: int) -> str:
    text = "".join(chance.choice("0123456789") for _ in range(whole + fraction))
    return f"{int(text[:whole])}.{text[whole:]}"


def test_numbers_keep_their_digits(demo):
    """Literals beside and as decimals, with fewer digits and with more than a DOUBLE has."""
    oracle = duckdb.connect()
    for seed in range(60):
        chance = random.Random(seed)
        column = f"CAST({digits(chance, chance.randrange(1, 7), 6)} AS DECIMAL(10,4))"
        near = digits(chance, chance.randrange(1, 13), chance.randrange(1, 10))
        long = digits(chance, 20, chance.randrange(1, 10))
        cast = f"CAST({digits(chance, chance.randrange(1, 16), chance.randrange(3, 10))} AS DECIMAL(38,2))"
        factor = digits(chance, 2, 2)
        told = [f"d {chance.choice('+-')} {near}", f"{near} - d", f"{factor} * d", long, f"-{long} + d", cast]
        told = ", ".join(f"CAST(CAST({expr} AS DECIMAL(38,10)) AS VARCHAR)" for expr in told)
        compared = ", ".join(f"d {operator} {number}" for operator in ("<", "=", ">=") for number in (near, long))
        sql = f"SELECT {compared}, {told} FROM (SELECT {column} AS d) AS x"
        assert [tuple(row) for row in demo.rows(sql)] == oracle.execute(sql).fetchall(), sql


def test_operators_bind_alike(demo):
    """Without parentheses, so that only precedence decides."""
    oracle = duckdb.connect()
    for seed in range(200):
        chance = random.Random(seed)
        arithmetic = chance.choice([["+", "-", "*", "||", "%"], ["+", "-", "*", "|", "&"], ["+", "-", "*", "^"]])
        count = chance.randrange(2, 7)
        terms = [str(chance.randrange(1, 4)) for _ in range(count)]
        text = "".join(f"{term} {chance.choice(arithmetic)} " for term in terms) + "2"
        # One side of || is a text.
        first = "'x' || " if "||" in arithmetic else ""
        sql = f"SELECT {first}{text} AS x"
        ours, theirs = demo.value(sql), oracle.execute(sql).fetchone()[0]
        assert ours == theirs, sql
