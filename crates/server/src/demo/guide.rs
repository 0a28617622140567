//! What `serve --demo` tells a newcomer to try.

/// The commands to try next, for a server whose HTTP door listens at `address` (`host:port`); `program` starts this binary.
pub fn guide(address: &str, program: &str) -> String {
    format!(
        r#"
Demo data: the TPC-H tables (scale 0.1) and timeseries, in catalog demo. Try next:

  curl -H 'Content-Type: application/sql' -H 'Accept: text/plain' http://{address}/v1/query \
    -d "SELECT l_returnflag, count(*) AS items, sum(l_extendedprice) AS revenue
        FROM lineitem GROUP BY l_returnflag ORDER BY revenue DESC"

  curl -H 'Content-Type: application/sql' -H 'Accept: text/csv' http://{address}/v1/query \
    -d "SELECT date_bin(INTERVAL '1 day', ts) AS day, avg(value) AS mean, count(*) - count(value) AS gaps
        FROM timeseries GROUP BY day ORDER BY day"

  {program} sql --url http://{address}
  {program} sql --url http://{address} -c "SHOW TABLES"

API: http://{address}/docs, and for programs http://{address}/v1/openapi.json
Stop with Ctrl-C.
"#
    )
}
