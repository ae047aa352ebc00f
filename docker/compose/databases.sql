-- A domain database to look at, and a database for Nessie's commits.
CREATE DATABASE nessie;

CREATE TABLE customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    country text NOT NULL,
    since date NOT NULL
);
INSERT INTO customers VALUES
    (1, 'Nordlys AS', 'NO', '2019-03-01'),
    (2, 'Havbris', 'DK', '2021-11-15'),
    (3, 'Kallvik AB', 'SE', '2020-06-30'),
    (4, 'Saariston Laiva', 'FI', '2023-01-09');

CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    ordered_at timestamptz NOT NULL,
    amount numeric(12, 2) NOT NULL
);
INSERT INTO orders
SELECT n, n % 4 + 1, timestamptz '2026-01-01 00:00+00' + n * interval '37 minutes', round((n * 7919 % 100000)::numeric / 100, 2)
FROM generate_series(1, 10000) AS n;
