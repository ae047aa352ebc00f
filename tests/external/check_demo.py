"""Checks the demo's tables against DuckDB's own reading of the raw files.

Usage: check_demo.py DATA_DIR

DuckDB computes the rejected rows and the metrics from DATA_DIR/demo/*.csv with SQL that shares
nothing with the demo's; PyIceberg reads what Fjord wrote. Every row and value must be equal.
Needs duckdb and pyiceberg with pyarrow and SQL support.
"""

import sys
from pathlib import Path

import duckdb
from pyiceberg.catalog.sql import SqlCatalog

REASONS = """
CREATE TABLE raw AS
  SELECT 1 AS landing, * FROM read_csv('{first}', all_varchar = true, header = true)
  UNION ALL
  SELECT 2, * FROM read_csv('{second}', all_varchar = true, header = true);
-- Copies of an order are equal but for their landing, so which of them is kept does not show.
CREATE TABLE numbered AS
  SELECT *, rank() OVER (PARTITION BY order_id ORDER BY landing, row) AS copy
  FROM (SELECT *, row_number() OVER () AS row FROM raw);
CREATE TABLE judged AS
  SELECT *, CASE
    WHEN copy <> 1 THEN 'duplicate order'
    WHEN coalesce(trim(customer_id), '') = '' THEN 'missing customer'
    WHEN NOT regexp_full_match(trim(purchased_on), '\\d{{4}}-\\d{{2}}-\\d{{2}}')
      OR try_strptime(trim(purchased_on), '%Y-%m-%d') IS NULL THEN 'impossible date'
    WHEN trim(purchased_on) > '1998-06-30' THEN 'date after the data ends'
    WHEN NOT coalesce(regexp_full_match(trim(amount), '-?\\d*\\.\\d{{2}}'), false)
      THEN 'malformed amount'
    WHEN replace(trim(amount), '.', '')::bigint < 0 THEN 'negative amount'
  END AS reason
  FROM numbered;
CREATE TABLE good AS
  SELECT order_id, trim(customer_id)::int AS customer_id,
         strptime(trim(purchased_on), '%Y-%m-%d')::date AS purchase_date, cds::int AS cds,
         replace(trim(amount), '.', '')::bigint AS cents,
         CASE WHEN trim(email) <> '' THEN lower(trim(email)) END AS email,
         CASE WHEN trim(country) <> '' THEN lower(trim(country)) ELSE 'unknown' END AS country
  FROM judged WHERE reason IS NULL;
"""

# Averages in whole cents, rounded half up with integers alone.
METRICS = """
SELECT customer_id, max(email) AS email, count(*) AS total_purchases, sum(cds)::bigint AS total_cds,
       sum(cents)::bigint AS lifetime_cents,
       ((2 * sum(cents) + count(*)) // (2 * count(*)))::bigint AS average_cents,
       ((2 * count(*) * 300000 + age) // (2 * age))::bigint AS frequency_e4,
       last - max(purchase_date) AS days_since_last_purchase,
       last - min(purchase_date) AS account_age_days,
       min(purchase_date) AS first_purchase, max(purchase_date) AS last_purchase
FROM (
  SELECT *, last - min(purchase_date) OVER (PARTITION BY customer_id) + 1 AS age
  FROM good, (SELECT max(purchase_date) AS last FROM good)
)
GROUP BY customer_id, last, age ORDER BY customer_id
"""


def scaled(value, digits):
    """An exact decimal as an integer."""
    return int(value.scaleb(digits).to_integral_exact())


def main(data_dir):
    data_dir = Path(data_dir).resolve()
    database = duckdb.connect()
    database.execute(
        REASONS.format(
            first=data_dir / "demo" / "purchases_1.csv",
            second=data_dir / "demo" / "purchases_2.csv",
        )
    )
    catalog = SqlCatalog(
        "iceberg",
        uri=f"sqlite:///{data_dir}/catalog.db",
        warehouse=f"file://{data_dir}/warehouse",
    )

    def rows(name):
        return catalog.load_table(name).scan().to_arrow()

    failures = []

    def compare(what, found, expected):
        if found == expected:
            print(f"ok   {what}: {len(expected)} equal")
            return
        failures.append(what)
        print(f"FAIL {what}: {len(found)} found, {len(expected)} expected")
        different = [(a, b) for a, b in zip(found, expected) if a != b]
        for pair in different[:5]:
            print("     found %r\n  expected %r" % pair)

    bronze = rows("bronze.purchases")
    compare(
        "bronze rows",
        [(bronze.num_rows,)],
        database.execute("SELECT count(*) FROM raw").fetchall(),
    )

    rejected = rows("silver.rejected_purchases")
    key = ["landing", "order_id", "customer_id", "purchased_on", "cds", "amount", "email",
           "country", "reason"]
    compare(
        "rejected rows with their reasons",
        sorted((tuple(r[k] for k in key) for r in rejected.to_pylist()), key=repr),
        sorted(
            database.execute(
                f"SELECT {', '.join(key)} FROM judged WHERE reason IS NOT NULL"
            ).fetchall(),
            key=repr,
        ),
    )
    by_reason = {}
    for reason in rejected["reason"].to_pylist():
        by_reason[reason] = by_reason.get(reason, 0) + 1
    compare(
        "rejected rows by reason",
        sorted(by_reason.items()),
        database.execute(
            "SELECT reason, count(*) FROM judged WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 1"
        ).fetchall(),
    )

    silver = rows("silver.purchases").sort_by("order_id").to_pylist()
    compare(
        "silver rows",
        [
            (r["order_id"], r["customer_id"], r["purchase_date"], r["cds"],
             scaled(r["amount"], 2), r["email"], r["country"])
            for r in silver
        ],
        database.execute("SELECT * FROM good ORDER BY order_id").fetchall(),
    )

    gold = rows("gold.customer_metrics").sort_by("customer_id").to_pylist()
    compare(
        "gold rows",
        [
            (r["customer_id"], r["email"], r["total_purchases"], r["total_cds"],
             scaled(r["customer_lifetime_value"], 2), scaled(r["avg_purchase_value"], 2),
             scaled(r["purchase_frequency"], 4), r["days_since_last_purchase"],
             r["account_age_days"], r["first_purchase"], r["last_purchase"])
            for r in gold
        ],
        database.execute(METRICS).fetchall(),
    )
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
