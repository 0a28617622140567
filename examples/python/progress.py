"""A long query without holding a connection: submit, watch its progress, fetch the parts of the result."""

import os

import pyarrow as pa
import pyarrow.ipc
import requests

BASE = os.environ.get("TIDEMILL_URL", "http://127.0.0.1:8080")
SQL = """
SELECT l_partkey, sum(l_quantity) AS quantity, count(DISTINCT l_suppkey) AS suppliers
FROM demo.public.lineitem GROUP BY l_partkey ORDER BY quantity DESC
"""

with requests.Session() as session:
    submitted = session.post(f"{BASE}/v1/query", json={"sql": SQL}, headers={"Prefer": "respond-async"}, timeout=30)
    submitted.raise_for_status()
    query = f"{BASE}/v1/queries/{submitted.json()['id']}"

    while True:
        # Answers when the state changes, or after a second.
        status = session.get(query, params={"wait": "1s"}, timeout=30).json()
        progress = status["progress"]
        print(f"{status['state']:>9} {(progress['fraction'] or 0):6.1%} {progress['rows_read']:>10,} rows read")
        if status["state"] in ("finished", "failed", "cancelled"):
            break
    if status["state"] != "finished":
        raise SystemExit(status["error"]["message"])

    tables = []
    for part in range(status["result"]["parts"]):
        response = session.get(
            f"{query}/result", params={"part": part}, headers={"Accept": "application/vnd.apache.arrow.stream"}, timeout=60
        )
        response.raise_for_status()
        tables.append(pa.ipc.open_stream(response.content).read_all())

table = pa.concat_tables(tables)
print(table.num_rows, "rows; the first:", table.slice(0, 1).to_pylist()[0])
