#!/usr/bin/env bash
# A JSON request: parameters keep values out of the SQL text; settings hold for this request alone.
set -eu
BASE=${TIDEMILL_URL:-http://127.0.0.1:8080}

curl --silent --show-error --fail-with-body "$BASE/v1/query" -H 'Content-Type: application/json' -H 'Accept: text/csv' --data @- <<'JSON'
{
  "sql": "SELECT c_name, c_acctbal FROM customer WHERE c_mktsegment = $segment AND c_acctbal > $balance ORDER BY c_acctbal DESC",
  "params": {"segment": "BUILDING", "balance": 9000},
  "catalog": "demo",
  "session": {"statement_timeout": "10s"},
  "row_limit": 5
}
JSON
