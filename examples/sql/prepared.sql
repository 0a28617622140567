-- A prepared statement: planned once, run with different values.
PREPARE customers_of AS
SELECT n_name, count(*) AS customers, round(avg(c_acctbal), 2) AS balance
FROM demo.public.customer
JOIN demo.public.nation ON n_nationkey = c_nationkey
WHERE n_name = $1 AND c_acctbal > $2
GROUP BY n_name;

EXECUTE customers_of('GERMANY', 0);

EXECUTE customers_of('BRAZIL', 5000);

DEALLOCATE customers_of;
