"""Queries whose answers are known to the last row, and whose stages take as long as a test needs to meet them."""

import hashlib

import pyarrow as pa

from server import Server

PARTS = 8
ROWS = 100
# How long the lightest stage should take in one process, so that a look each 20 ms does not miss it.
STAGE_SECONDS = 0.5


def facts(part: int) -> pa.Table:
    """The rows of one file: keys that all files share, and texts."""
    keys = range(part * ROWS, (part + 1) * ROWS)
    texts = [hashlib.md5(str(key).encode()).hexdigest() for key in keys]
    return pa.table({"k": pa.array(keys, pa.int64()), "t": texts, "v": pa.array([key * 7 % 1000 for key in keys], pa.int64())})


def effort(weight: int) -> str:
    """An integer of the text `t`, at a cost that grows with the square of the weight and takes no memory."""
    return f"levenshtein(repeat(t, {weight}), repeat(reverse(t), {weight}))"


def deep(weight: int) -> str:
    """Three exchanges, and effort before, between and after them. A row that is lost or comes twice changes the sums."""
    return f"""
        WITH one AS (SELECT k, count(*) AS n, sum(v + {effort(weight)}) AS c, min(t) AS t FROM facts GROUP BY k),
             two AS (SELECT k % 400 AS g, sum(n) AS n, sum(c + {effort(weight)}) AS c, min(t) AS t FROM one GROUP BY k % 400)
        SELECT g, n, c, {effort(weight)} AS w FROM two ORDER BY g"""


# Tasks that outlast a test, and can be ended at any time: there are many rows, and each takes little.
ENDLESS = "SELECT sum(levenshtein(a.t, b.t) + c.v) FROM facts a, facts b, facts c"


def weigh(server: Server) -> int:
    """The weight that makes a stage take long enough on this machine, with this build."""
    weight = 2
    while True:
        response = server.post(f"SELECT sum({effort(weight)}) FROM facts")
        assert response.status_code == 200, response.text
        taken = response.json()["stats"]["elapsed_ms"] / 1000
        if taken >= STAGE_SECONDS / 2:
            return max(int(weight * (STAGE_SECONDS / taken) ** 0.5), weight)
        weight *= 2
