-- Write a query's result as Parquet, read it back as a table, look at what the server did. A file is replaced each time;
-- in a folder ('/tmp/tidemill-example/orders/'), each COPY adds files to those that are there.
COPY (SELECT o_orderkey, o_totalprice, o_orderstatus FROM demo.public.orders)
TO '/tmp/tidemill-example/orders.parquet' STORED AS PARQUET;

SELECT o_orderstatus, count(*) AS orders, round(sum(o_totalprice), 2) AS total
FROM '/tmp/tidemill-example/orders.parquet'
GROUP BY o_orderstatus
ORDER BY o_orderstatus;

SELECT state, kind, rows_produced, round(elapsed_ms) AS ms, left(sql, 40) AS statement
FROM system.queries
ORDER BY submitted_at DESC
LIMIT 5;
