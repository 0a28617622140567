-- Revenue per nation and year, with each year's share of the nation's total and its change to the year before.
SET catalog = 'demo';

WITH sales AS (
    SELECT n_name AS nation,
           extract(year FROM o_orderdate) AS year,
           sum(l_extendedprice * (1 - l_discount)) AS revenue
    FROM lineitem
    JOIN orders ON o_orderkey = l_orderkey
    JOIN customer ON c_custkey = o_custkey
    JOIN nation ON n_nationkey = c_nationkey
    GROUP BY n_name, year
)
SELECT nation,
       year,
       round(revenue, 2) AS revenue,
       round(100 * revenue / sum(revenue) OVER (PARTITION BY nation), 1) AS percent_of_total,
       round(revenue - lag(revenue) OVER (PARTITION BY nation ORDER BY year), 2) AS change
FROM sales
WHERE nation IN ('FRANCE', 'JAPAN')
ORDER BY nation, year;
