-- Bronze: the raw file as it came, every column as text, nothing judged and nothing lost.
CREATE SCHEMA IF NOT EXISTS iceberg.bronze;
CREATE SCHEMA IF NOT EXISTS iceberg.silver;
CREATE SCHEMA IF NOT EXISTS iceberg.gold;

CREATE OR REPLACE TABLE iceberg.bronze.purchases
PARTITIONED BY (landing) AS
SELECT 1 AS landing, *
FROM read_csv('${first}', all_varchar => true);
