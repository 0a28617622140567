-- Write a query's result as partitioned Parquet, read it back as a table, look at what the server did.
COPY (SELECT o_orderkey, o_totalprice, o_orderstatus FROM demo.public.orders)
TO '/tmp/tidemill-example/orders/' STORED AS PARQUET PARTITIONED BY (o_orderstatus);

SELECT o_orderstatus, count(*) AS orders, round(sum(o_totalprice), 2) AS total
FROM '/tmp/tidemill-example/orders/'
GROUP BY o_orderstatus
ORDER BY o_orderstatus;

SELECT state, kind, rows_produced, round(elapsed_ms) AS ms, left(sql, 40) AS statement
FROM system.queries
ORDER BY submitted_at DESC
LIMIT 5;
