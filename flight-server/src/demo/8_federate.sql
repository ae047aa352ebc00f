-- A live database beside the lake: its tables keep their names, below the catalog's.
CREATE CATALOG IF NOT EXISTS demo_postgres USING postgres WITH (${options});

-- A mart goes to where applications read it: one transaction of the database.
DROP TABLE IF EXISTS demo_postgres.public.fjord_demo_segments;
CREATE TABLE demo_postgres.public.fjord_demo_segments AS
SELECT
  customer_id,
  customer_lifetime_value,
  CASE
    WHEN customer_lifetime_value >= 500 THEN 'gold'
    WHEN customer_lifetime_value >= 100 THEN 'silver'
    ELSE 'bronze'
  END AS segment
FROM iceberg.gold.customer_metrics;

-- One statement over both: the database has the segments, the lake every purchase.
SELECT s.segment, count(DISTINCT s.customer_id) AS customers, count(*) AS purchases,
       sum(p.amount) AS spent
FROM demo_postgres.public.fjord_demo_segments s
JOIN iceberg.silver.purchases p ON p.customer_id = s.customer_id
GROUP BY s.segment
ORDER BY spent DESC;

-- And back: a table of the database lands as bronze.
CREATE OR REPLACE TABLE iceberg.bronze.segments AS
SELECT * FROM demo_postgres.public.fjord_demo_segments;
