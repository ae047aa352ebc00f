SELECT reason, count(*) AS rejected
FROM iceberg.silver.rejected_purchases
GROUP BY reason
ORDER BY rejected DESC, reason;

SELECT customer_id, total_purchases, customer_lifetime_value, avg_purchase_value,
       purchase_frequency, days_since_last_purchase, account_age_days
FROM iceberg.gold.customer_metrics
ORDER BY customer_lifetime_value DESC, customer_id
LIMIT 5;

SELECT count(*) AS files, sum(record_count) AS rows, sum(file_size_in_bytes) AS bytes
FROM iceberg.silver."purchases$files";
