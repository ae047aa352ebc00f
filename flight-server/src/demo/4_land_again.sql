-- The next month arrives: an append, a new snapshot. Some orders come a second time.
INSERT INTO iceberg.bronze.purchases
SELECT 2 AS landing, *
FROM read_csv('${second}', all_varchar => true);
