#!/usr/bin/env bash
# What is there: catalogs, schemas, tables, columns, and how the server is.
set -eu
BASE=${TIDEMILL_URL:-http://127.0.0.1:8080}

for path in /livez /readyz /version /v1/catalogs /v1/catalogs/demo/schemas /v1/catalogs/demo/schemas/public/tables/nation; do
    echo "== $path"
    curl --silent --show-error --fail-with-body "$BASE$path"
    echo
done
echo "== /metrics"
curl --silent --show-error --fail-with-body "$BASE/metrics" | grep '^tidemill' | sort | sed -n 1,10p
