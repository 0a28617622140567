"""A query's result as a pandas DataFrame, by way of Arrow: no text in between, types kept."""

import os

import pyarrow.ipc
import requests

BASE = os.environ.get("TIDEMILL_URL", "http://127.0.0.1:8080")


def query(sql: str, **parameters):
    """Runs SQL with named parameters and returns a DataFrame."""
    response = requests.post(
        f"{BASE}/v1/query",
        json={"sql": sql, "params": parameters, "catalog": "demo"},
        headers={"Accept": "application/vnd.apache.arrow.stream;codecs=zstd"},
        stream=True,
        timeout=60,
    )
    if not response.ok:
        problem = response.json()
        raise RuntimeError(f"{problem['code']}: {problem['detail']}")
    with pyarrow.ipc.open_stream(response.raw) as reader:
        return reader.read_pandas()


frame = query(
    """
    SELECT o_orderpriority AS priority, count(*) AS orders, avg(o_totalprice) AS mean_price
    FROM orders WHERE o_orderdate >= CAST($since AS DATE) GROUP BY o_orderpriority ORDER BY priority
    """,
    since="1997-01-01",
)
print(frame)
print(frame.dtypes)
