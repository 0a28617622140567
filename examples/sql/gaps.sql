-- Time series: hourly means per sensor, and where values are missing.
SET catalog = 'demo';

SELECT sensor,
       date_bin(INTERVAL '1 hour', ts) AS hour,
       round(avg(value), 3) AS mean,
       count(*) - count(value) AS missing
FROM timeseries
GROUP BY sensor, hour
HAVING count(*) > count(value)
ORDER BY missing DESC, sensor, hour
LIMIT 10;
