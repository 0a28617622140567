"""Queries made by chance, answered as DuckDB answers them: joins with conditions on either side, and memberships, where nulls decide; numbers
and operators.

The chance is the same each time; a failure shows the whole query, with its rows.
"""

import random

import duckdb
import pytest

ROWS = 8


def values(chance: random.Random) -> str:
    """Few different values, so that keys meet, and many nulls."""
    def value():
        return "NULL" if chance.random() < 0.25 else str(chance.randrange(4))

    rows = ", ".join(f"({value()}, {value()})" for _ in range(chance.randrange(1, ROWS)))
    # The types are given, because all values may be null.
    return f"SELECT CAST(a AS INT) AS a, CAST(b AS INT) AS b FROM (VALUES {rows}) v(a, b)"


def condition(chance: random.Random, *tables: str, depth: int = 2) -> str:
    """About columns of the tables."""
    def column():
        return f"{chance.choice(tables)}.{chance.choice('ab')}"

    kind = chance.randrange(7 if depth else 4)
    if kind == 0:
        return f"{column()} = {column()}"
    if kind == 1:
        return f"{column()} {chance.choice(['<', '>=', '<>', 'IS DISTINCT FROM'])} {chance.choice([column(), '2'])}"
    if kind == 2:
        return f"{column()} IS {chance.choice(['', 'NOT '])}NULL"
    if kind == 3:
        return f"{column()} {chance.choice(['', 'NOT '])}IN (1, {chance.choice(['2', 'NULL'])})"
    if kind == 4:
        return f"NOT ({condition(chance, *tables, depth=depth - 1)})"
    left, right = (condition(chance, *tables, depth=depth - 1) for _ in range(2))
    return f"({left} {chance.choice(['AND', 'OR'])} {right})"


def membership(chance: random.Random, table: str) -> str:
    """`[NOT] IN` and `[NOT] EXISTS`, correlated or not, alone or in a condition."""
    negated = chance.choice(["", "NOT "])
    inner = chance.choice(["", f" WHERE {condition(chance, 's', depth=1)}", f" WHERE s.b = {table}.b"])
    test = chance.choice([
        f"{table}.a {negated}IN (SELECT s.a FROM s{inner})",
        f"{negated}EXISTS (SELECT 1 FROM s{inner})",
    ])
    return chance.choice([test, f"({test} OR {condition(chance, table, depth=1)})", f"({test}) IS NOT TRUE"])


def join(chance: random.Random) -> str:
    kind = chance.choice(["LEFT", "RIGHT", "FULL", "INNER"])
    where = chance.choice(["", f" WHERE {condition(chance, 'l', 'r')}"])
    # A full join needs an equality in DuckDB.
    on = f"l.a = r.a AND {condition(chance, 'l', 'r')}" if kind == "FULL" else condition(chance, "l", "r")
    return f"SELECT l.a, l.b, r.a AS c, r.b AS d FROM l {kind} JOIN r ON {on}{where}"


def member(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return f"SELECT l.a, l.b FROM l WHERE {membership(chance, 'l')}"
    on = f"l.b = r.b AND {condition(chance, 'l', 'r', depth=1)}"
    return f"SELECT l.a, l.b, r.a AS c, r.b AS d FROM l LEFT JOIN r ON {on} WHERE {membership(chance, 'r')}"


def ordered(rows: list[tuple]) -> list[tuple]:
    return sorted(rows, key=lambda row: [(value is None, value or 0) for value in row])


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
