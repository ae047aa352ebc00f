-- The table as it was before the second landing, beside the table as it is.
SELECT 'before' AS bronze, count(*) AS purchases, max(landing) AS landings
FROM iceberg.bronze.purchases FOR VERSION AS OF ${snapshot}
UNION ALL
SELECT 'now', count(*), max(landing)
FROM iceberg.bronze.purchases
ORDER BY purchases;
