"""A result as a polars DataFrame, from Parquet: handy when it is to be kept as a file as well."""

import io
import os

import polars
import requests

BASE = os.environ.get("TIDEMILL_URL", "http://127.0.0.1:8080")

response = requests.post(
    f"{BASE}/v1/query",
    data="SELECT sensor, count(*) AS points, avg(value) AS mean FROM demo.public.timeseries GROUP BY sensor ORDER BY sensor",
    headers={"Content-Type": "application/sql", "Accept": "application/vnd.apache.parquet"},
    timeout=60,
)
response.raise_for_status()
print(polars.read_parquet(io.BytesIO(response.content)))
