"""Queries made by chance over the tables l, r and s, each with the whole numbers a and b: joins with conditions on either side, and memberships,
where nulls decide.
"""

import random


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
