-- Silver: the judgement on every bronze row is one view ...
CREATE OR REPLACE VIEW iceberg.silver.judged_purchases AS
WITH read AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY order_id ORDER BY landing) AS copy,
    try_cast(trim(customer_id) AS integer) AS customer,
    try_cast(trim(purchased_on) AS date) AS purchase_date,
    try_cast(trim(amount) AS decimal(10, 2)) AS paid
  FROM iceberg.bronze.purchases
)
SELECT
  *,
  CASE
    WHEN copy > 1 THEN 'duplicate order'
    WHEN customer IS NULL THEN 'missing customer'
    WHEN purchase_date IS NULL THEN 'impossible date'
    WHEN purchase_date > DATE '1998-06-30' THEN 'date after the data ends'
    WHEN paid IS NULL THEN 'malformed amount'
    WHEN paid < 0 THEN 'negative amount'
  END AS reason
FROM read;

-- ... good rows become typed and trimmed ...
CREATE OR REPLACE TABLE iceberg.silver.purchases
PARTITIONED BY (month(purchase_date)) AS
SELECT
  order_id,
  customer AS customer_id,
  purchase_date,
  CAST(cds AS integer) AS cds,
  paid AS amount,
  nullif(lower(trim(email)), '') AS email,
  coalesce(nullif(lower(trim(country)), ''), 'unknown') AS country
FROM iceberg.silver.judged_purchases
WHERE reason IS NULL;

-- ... and bad rows wait in quarantine, as they came, each with the reason.
CREATE OR REPLACE TABLE iceberg.silver.rejected_purchases
PARTITIONED BY (reason) AS
SELECT landing, order_id, customer_id, purchased_on, cds, amount, email, country, reason
FROM iceberg.silver.judged_purchases
WHERE reason IS NOT NULL;
