-- Gold: one row per customer. "Today" is the last day in the data, not the day you run this.
CREATE OR REPLACE TABLE iceberg.gold.customer_metrics AS
WITH customers AS (
  SELECT
    customer_id,
    count(*) AS total_purchases,
    sum(cds) AS total_cds,
    sum(amount) AS spent,
    min(purchase_date) AS first_purchase,
    max(purchase_date) AS last_purchase,
    max(email) AS email
  FROM iceberg.silver.purchases
  GROUP BY customer_id
),
today AS (
  SELECT max(purchase_date) AS day FROM iceberg.silver.purchases
)
SELECT
  customer_id,
  email,
  total_purchases,
  total_cds,
  CAST(spent AS decimal(12, 2)) AS customer_lifetime_value,
  -- Rounded half up to the cent: six more digits than that are exact before the cast.
  CAST(CAST(spent AS decimal(20, 8)) / total_purchases AS decimal(12, 2)) AS avg_purchase_value,
  -- Purchases per 30 days since the first one.
  CAST(
    CAST(total_purchases * 30 AS decimal(20, 8)) / (CAST(day - first_purchase AS bigint) + 1)
    AS decimal(10, 4)
  ) AS purchase_frequency,
  CAST(day - last_purchase AS bigint) AS days_since_last_purchase,
  CAST(day - first_purchase AS bigint) AS account_age_days,
  first_purchase,
  last_purchase
FROM customers
CROSS JOIN today;
