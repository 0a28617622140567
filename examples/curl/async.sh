#!/usr/bin/env bash
# A long query: submit it, wait for it, fetch the result; then start another one and cancel it.
set -eu
BASE=${TIDEMILL_URL:-http://127.0.0.1:8080}

submit() {
    curl --silent --show-error --fail-with-body "$BASE/v1/query" -H 'Content-Type: application/sql' -H 'Prefer: respond-async' \
        --data-binary "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])'
}
state() { python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'; }

id=$(submit "SELECT l_shipmode, count(*) AS items FROM demo.public.lineitem GROUP BY l_shipmode ORDER BY l_shipmode")
echo "submitted $id"
while now=$(curl --silent --fail-with-body "$BASE/v1/queries/$id?wait=10s" | state); do
    echo "$now"
    case $now in finished) break ;; failed | cancelled) exit 1 ;; esac
done
curl --silent --show-error --fail-with-body "$BASE/v1/queries/$id/result" -H 'Accept: text/csv'

id=$(submit "SELECT count(*) FROM generate_series(1, 100000000) a(x) CROSS JOIN generate_series(1, 100000000) b(y)")
curl --silent --show-error --fail-with-body --output /dev/null -X DELETE "$BASE/v1/queries/$id"
curl --silent --fail-with-body "$BASE/v1/queries/$id?wait=10s" | state
