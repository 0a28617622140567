#!/usr/bin/env bash
# SQL in, rows out: the body is the statement, Accept chooses the format.
set -eu
BASE=${TIDEMILL_URL:-http://127.0.0.1:8080}

query() { curl --silent --show-error --fail-with-body "$BASE/v1/query" -H 'Content-Type: application/sql' -H "Accept: $1" --data-binary "$2"; }

SQL="SELECT r_name, count(*) AS nations FROM demo.public.region JOIN demo.public.nation ON r_regionkey = n_regionkey GROUP BY r_name ORDER BY r_name"
for format in text/plain text/csv text/markdown application/x-ndjson application/json; do
    echo "== $format"
    query "$format" "$SQL"
    echo
done

# Binary formats go to a file.
query application/vnd.apache.parquet "$SQL" > regions.parquet
wc -c regions.parquet
