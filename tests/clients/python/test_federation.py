"""Live PostgreSQL beside the lake, through Flight SQL (ADBC) and the shell.

Needs a server: `tests/counterparts/run --with postgres -- pytest tests/clients/python/test_federation.py`.
"""

import datetime
import json
import os
import subprocess
import time

import adbc_driver_flightsql.dbapi as flight_sql
import grpc
import pyarrow as pa
import pytest

from configurations import USERS, password_config
from databases import CTL, URL, Database, control
from server import BINARY, Server
from wire import Wire

pytestmark = pytest.mark.skipif(not URL, reason="skipped: no FJORD_TEST_POSTGRES_URL")

SESSION = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
TABLES = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, region text, since timestamp);
INSERT INTO customers SELECT n, 'customer ' || n, CASE n % 3 WHEN 0 THEN 'north' WHEN 1 THEN 'south' END,
  timestamp '2024-01-01' + n * interval '1 hour' FROM generate_series(1, 5000) n;
CREATE TABLE "Orders" (id bigint PRIMARY KEY, "customerId" int, amount numeric(12, 2), day date);
INSERT INTO "Orders" SELECT n, n % 5000 + 1, n % 97 + 0.25, date '2024-01-01' + (n % 365)::int FROM generate_series(1, 20000) n;
CREATE TABLE twin (n int); CREATE TABLE "Twin" (n int); INSERT INTO twin VALUES (1); INSERT INTO "Twin" VALUES (2);
CREATE VIEW big_orders AS SELECT * FROM "Orders" WHERE amount > 90;
CREATE SCHEMA marts;
ANALYZE;
"""


@pytest.fixture(scope="module")
def database():
    database = Database()
    database.sql(TABLES)
    return database


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("federation"), database.config(pass_through="true", metadata_ttl_seconds="1"))
    yield server
    server.stop([database.password])
    # A process that has ended leaves nothing behind.
    assert database.others() == []


@pytest.fixture
def cursor(server):
    with flight_sql.connect(server.uri, db_kwargs=SESSION, autocommit=True) as connection, connection.cursor() as cursor:
        yield cursor


def rows(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchall()


def fails(cursor, sql):
    with pytest.raises(flight_sql.Error) as caught:
        cursor.execute(sql)
        cursor.fetchall()
    return str(caught.value)


def shell(server, *statements, check=True):
    command = [BINARY, "sql", "--url", server.uri, "--format", "json"]
    for sql in statements:
        command += ["-c", sql]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if check else done.stderr


def test_tables_views_and_names_are_found(cursor):
    assert rows(cursor, "SELECT count(*) FROM sales.public.customers") == [(5000,)]
    assert rows(cursor, "SELECT count(*), sum(amount) FROM SALES.PUBLIC.orders WHERE CUSTOMERID = 7")[0][0] == 4
    assert rows(cursor, "SELECT min(amount) > 90 FROM sales.public.big_orders") == [(True,)]
    assert rows(cursor, 'SELECT a.n, b.n FROM sales.public."twin" a, sales.public."Twin" b') == [(1, 2)]
    assert '"Twin"' in fails(cursor, "SELECT * FROM sales.public.twin")
    assert "it has" in fails(cursor, "SELECT * FROM sales.nowhere.t")
    assert "not found" in fails(cursor, "SELECT * FROM sales.public.nothing")
    names = [row[0] for row in rows(cursor, "SHOW TABLES FROM sales.public")]
    assert names == sorted(["customers", "Orders", "twin", "Twin", "big_orders"]), names
    described = rows(cursor, "DESCRIBE sales.public.orders")
    assert [row[:2] for row in described] == [
        ("id", "bigint"), ("customerId", "integer"), ("amount", "decimal(12,2)"), ("day", "date")]
    columns = rows(cursor, "SELECT column_name FROM sales.information_schema.columns WHERE table_name = 'customers'")
    assert columns == [("id",), ("name",), ("region",), ("since",)]


def test_a_lake_and_a_database_join_in_one_statement(cursor):
    cursor.execute("CREATE SCHEMA IF NOT EXISTS joined")
    cursor.execute("CREATE OR REPLACE TABLE joined.targets AS SELECT * FROM (VALUES (7, 'x'), (8, 'y'), (999999, 'z')) AS t(id, label)")
    sql = (
        "SELECT t.label, c.name, count(*) AS orders FROM joined.targets t "
        "JOIN sales.public.customers c ON c.id = t.id JOIN sales.public.orders o ON o.customerid = c.id "
        "GROUP BY 1, 2 ORDER BY 1"
    )
    expected = [("x", "customer 7", 4), ("y", "customer 8", 4)]
    assert rows(cursor, sql) == expected
    cursor.execute(f"CREATE OR REPLACE VIEW joined.v AS {sql}")
    assert rows(cursor, "SELECT * FROM joined.v") == expected
    assert rows(cursor, f"SELECT * FROM ({sql}) WHERE label = ?", ("y",)) == expected[1:]
    plan = "\n".join(row[1] for row in rows(cursor, "EXPLAIN SELECT name FROM sales.public.customers WHERE id = 7"))
    assert "RemoteSqlExec" in plan and "customers" in plan, plan
    cursor.adbc_prepare("SELECT id, name FROM sales.public.customers WHERE id = 1")
    assert rows(cursor, "SELECT id, name FROM sales.public.customers WHERE id = 1") == [(1, "customer 1")]


def test_what_a_join_learns_of_the_lake_reaches_the_database(cursor, database):
    cursor.execute("CREATE SCHEMA IF NOT EXISTS joined")
    cursor.execute("CREATE OR REPLACE TABLE joined.few AS SELECT * FROM (VALUES (7), (8), (11)) AS t(id)")
    database.sql("CREATE TABLE many AS SELECT n AS id, repeat('x', 200) AS pad FROM generate_series(1, 200000) n")
    database.sql("ALTER TABLE many ADD PRIMARY KEY (id)")
    database.sql("VACUUM ANALYZE many")
    read = "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'many'"

    def counted():
        return [int(n) for n in database.sql(read)[0]]

    sql = "SELECT f.id, length(m.pad) FROM joined.few f JOIN sales.public.many m ON m.id = f.id ORDER BY 1"
    # The second time as another statement, planned anew.
    for _ in range(2):
        before = counted()
        assert rows(cursor, sql) == [(7, 200), (8, 200), (11, 200)]
        # A connection tells what it has read when it has been idle for ten seconds.
        deadline = time.monotonic() + 20
        while (now := counted()) == before:
            assert time.monotonic() < deadline, "nothing was read"
            time.sleep(0.5)
        by_scan, by_index = (n - then for n, then in zip(now, before))
        assert by_scan == 0 and by_index == 3, (by_scan, by_index)


def test_metadata_calls_show_a_database(server):
    with flight_sql.connect(server.uri, autocommit=True) as connection:
        found = connection.adbc_get_objects(depth="all", catalog_filter="sales").read_all().to_pylist()
        tables = {
            (schema["db_schema_name"], table["table_name"]): [c["column_name"] for c in table["table_columns"]]
            for catalog in found for schema in catalog["catalog_db_schemas"] for table in schema["db_schema_tables"]
        }
        assert tables["public", "Orders"] == ["id", "customerId", "amount", "day"]
        assert ("marts", "nothing") not in tables
        schema = connection.adbc_get_table_schema("customers", catalog_filter="sales", db_schema_filter="public")
        assert schema.names == ["id", "name", "region", "since"]


def test_rows_land_and_marts_go_back(cursor, database):
    cursor.execute("CREATE SCHEMA IF NOT EXISTS bronze")
    cursor.execute("CREATE OR REPLACE TABLE bronze.customers AS SELECT * FROM sales.public.customers")
    assert cursor.rowcount == 5000
    cursor.execute("INSERT INTO bronze.customers SELECT * FROM sales.public.customers WHERE id <= 10")
    assert cursor.rowcount == 10
    cursor.execute("DROP TABLE IF EXISTS sales.marts.regions")
    cursor.execute("CREATE TABLE sales.marts.regions AS SELECT region, count(*) AS customers FROM bronze.customers GROUP BY region")
    assert cursor.rowcount == 3
    assert sorted(database.sql("SELECT coalesce(region, '-'), customers FROM marts.regions")) == [
        ["-", "1670"], ["north", "1669"], ["south", "1671"]]
    assert "already exists" in fails(cursor, "CREATE TABLE sales.marts.regions AS SELECT 1 AS x")
    cursor.execute("CREATE TABLE IF NOT EXISTS sales.marts.regions AS SELECT 1 AS x")
    cursor.execute("INSERT INTO sales.marts.regions (CUSTOMERS) VALUES (5), (6)")
    assert cursor.rowcount == 2
    assert database.sql("SELECT count(*), count(region), sum(customers) FROM marts.regions") == [["5", "2", "5021"]]
    cursor.execute("DROP TABLE sales.marts.regions")
    assert database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'marts' AND tablename = 'regions'") == [["0"]]


def test_tables_are_made_filled_and_refused_exactly(cursor, database):
    cursor.execute("DROP TABLE IF EXISTS sales.marts.exact")
    cursor.execute("CREATE TABLE sales.marts.exact (id bigint NOT NULL, part int, amount decimal(10, 2), at timestamp)")
    cursor.execute("INSERT INTO sales.marts.exact (id, amount, at) VALUES (?, ?, ?)", (1, "1.25", datetime.datetime(2024, 2, 29, 12)))
    cursor.executemany("INSERT INTO sales.marts.exact (part, id) VALUES (?, ?)", [(1, 2), (None, 3)])
    for sql, part in [
        ("INSERT INTO sales.marts.exact (id, part) VALUES (4, 3000000000)", "part"),
        ("INSERT INTO sales.marts.exact (id, amount) VALUES (4, 1.255)", "amount"),
        ("INSERT INTO sales.marts.exact (part) VALUES (4)", "null"),
        ("INSERT INTO sales.marts.exact SELECT id, id, id FROM sales.public.customers", "4 columns"),
    ]:
        assert part in fails(cursor, sql).lower(), sql
    assert database.sql("SELECT id, part, amount, at FROM marts.exact ORDER BY id") == [
        ["1", "", "1.25", "2024-02-29 12:00:00"], ["2", "1", "", ""], ["3", "", "", ""]]
    # A failure in the middle leaves none of the rows.
    count = database.sql("SELECT count(*) FROM marts.exact")
    assert "divi" in fails(cursor, "INSERT INTO sales.marts.exact (id) SELECT 1000 / (4000 - id) FROM sales.public.customers").lower()
    assert database.sql("SELECT count(*) FROM marts.exact") == count
    plan = "\n".join(row[1] for row in rows(cursor, "EXPLAIN INSERT INTO sales.marts.exact (id) SELECT id FROM sales.public.customers"))
    assert "RemoteSqlExec" in plan, plan
    cursor.execute("DROP TABLE sales.marts.exact")


def test_bulk_ingest_makes_and_appends(cursor, database):
    table = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", None, "c"]})
    cursor.execute("DROP TABLE IF EXISTS sales.marts.sent")
    where = {"catalog_name": "sales", "db_schema_name": "marts"}
    assert cursor.adbc_ingest("sent", table, mode="create", **where) == 3
    assert cursor.adbc_ingest("sent", table.select(["name", "id"]), mode="append", **where) == 3
    assert database.sql("SELECT count(*), sum(id), count(name) FROM marts.sent") == [["6", "12", "4"]]
    with pytest.raises(flight_sql.Error, match="drop it"):
        cursor.adbc_ingest("sent", table, mode="replace", **where)
    with pytest.raises(flight_sql.Error, match="already exists"):
        cursor.adbc_ingest("sent", table, mode="create", **where)
    cursor.execute("DROP TABLE sales.marts.sent")


def test_views_of_the_database_and_its_own_sql(cursor, database):
    cursor.execute("CREATE VIEW sales.marts.north AS SELECT id, name::varchar(20) AS name FROM public.customers WHERE region = 'north'")
    assert rows(cursor, "SELECT count(*) FROM sales.marts.north") == [(1666,)]
    cursor.execute("CREATE OR REPLACE VIEW sales.marts.north AS SELECT id, name::varchar(20) AS name FROM public.customers WHERE id < 3")
    assert rows(cursor, "SELECT count(*) FROM sales.marts.north") == [(2,)]
    assert "DROP VIEW" in fails(cursor, "DROP TABLE sales.marts.north")
    cursor.execute("DROP VIEW sales.marts.north")
    sql = "SELECT region, percentile_disc(0.5) WITHIN GROUP (ORDER BY id) AS median FROM public.customers WHERE region IS NOT NULL GROUP BY 1 ORDER BY 1"
    assert rows(cursor, f"SELECT region, median FROM query('sales', '{sql}') AS q ORDER BY region") == [("north", 2499), ("south", 2500)]
    for sql in ["DELETE FROM public.customers RETURNING id", "SELECT 1; DELETE FROM public.customers", "COMMIT",
                "WITH d AS (DELETE FROM public.customers RETURNING id) SELECT id FROM d", "SELECT nothing FROM nowhere"]:
        fails(cursor, f"SELECT * FROM query('sales', '{sql}')")
    assert database.sql("SELECT count(*) FROM customers") == [["5000"]]


def test_what_a_live_table_cannot_do_is_refused(cursor):
    for sql, part in [
        ("SELECT * FROM sales.public.customers FOR VERSION AS OF 1", "no versions"),
        ('SELECT * FROM sales.public."customers$snapshots"', "no metadata tables"),
        ("UPDATE sales.public.customers SET name = 'x'", "not supported"),
        ("DELETE FROM sales.public.customers", "Iceberg tables"),
        ("MERGE INTO sales.public.customers USING sales.public.twin ON true WHEN MATCHED THEN DELETE", "not supported"),
        ("ALTER TABLE sales.public.customers ADD COLUMN x int", "Iceberg tables"),
        ("DROP CATALOG sales", "configuration"),
    ]:
        assert part in fails(cursor, sql), sql


def test_a_ticket_that_is_read_twice_reads_a_database_twice(server, database):
    database.sql("CREATE TABLE read_twice (n int); INSERT INTO read_twice VALUES (1)")
    with Wire(server) as wire:
        ticket = wire.query("SELECT n FROM sales.public.read_twice ORDER BY n").ticket
        assert wire.table(ticket)["n"].to_pylist() == [1]
        assert wire.table(ticket)["n"].to_pylist() == [1]
        database.sql("INSERT INTO read_twice VALUES (2)")
        assert wire.table(ticket)["n"].to_pylist() == [1, 2]
        # What is gone is an error, and never an empty result.
        database.sql("DROP TABLE read_twice")
        with pytest.raises(grpc.RpcError):
            wire.table(ticket)


def test_ddl_and_dml_run_exactly_once(server, database):
    with Wire(server) as wire:
        info = wire.query("CREATE TABLE sales.public.counted AS SELECT 1 AS n")
        for _ in range(3):
            assert wire.table(info.ticket)["count"].to_pylist() == [1]
        info = wire.query("INSERT INTO sales.public.counted VALUES (2)")
        for _ in range(3):
            wire.frames(info.ticket)
        assert database.sql("SELECT count(*), sum(n) FROM counted") == [["2", "3"]]
        info = wire.query("DROP TABLE sales.public.counted")
        for _ in range(3):
            wire.frames(info.ticket)
        info = wire.query(database.create_catalog("once"))
        for _ in range(3):
            wire.frames(info.ticket)
        wire.query("DROP CATALOG once")


def test_the_shell_reads_a_database(server):
    assert shell(server, "USE sales.public", "SELECT count(*) AS n FROM customers")[-1] == {"n": 5000}
    assert "sales" in {row["Catalog"] for row in shell(server, "SHOW CATALOGS")}
    assert "configuration" in shell(server, "ALTER CATALOG sales SET (writes = false)", check=False)


def test_catalogs_are_made_kept_and_dropped_by_statements(tmp_path):
    database = Database()
    database.sql(TABLES)
    database.config()
    server = Server(tmp_path)
    with flight_sql.connect(server.uri, db_kwargs=SESSION, autocommit=True) as connection, connection.cursor() as cursor:
        wrong = database.create_catalog().replace(database.name, "nosuch")
        assert "nosuch" in fails(cursor, wrong) and "sales" not in str(rows(cursor, "SHOW CATALOGS"))
        cursor.execute(database.create_catalog())
        shown = rows(cursor, "SHOW CREATE CATALOG sales")[0][0]
        assert "env('SALES_PASSWORD')" in shown and database.password not in shown
        assert "pass_through" in fails(cursor, "SELECT * FROM query('sales', 'SELECT 1')")
        cursor.execute("ALTER CATALOG sales SET (pass_through = true)")
        assert rows(cursor, "SELECT * FROM query('sales', 'SELECT 1 AS x')") == [(1,)]
        assert "nonsense" in fails(cursor, "ALTER CATALOG sales SET (nonsense = 1)")
    server.stop([database.password])
    server = Server(tmp_path)
    with flight_sql.connect(server.uri, db_kwargs=SESSION, autocommit=True) as connection, connection.cursor() as cursor:
        assert rows(cursor, "SELECT count(*) FROM sales.public.customers") == [(5000,)]
        cursor.execute("DROP CATALOG sales")
        assert "sales" not in str(rows(cursor, "SHOW CATALOGS"))
    server.stop([database.password])
    assert database.password.encode() not in b"".join(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    assert database.others() == []


def test_rights_of_fjord_hold_on_databases(database, tmp_path):
    config = password_config(tmp_path).replace('write = "*"', 'write = ["sales.marts"]') + database.config(pass_through="true")
    server = Server(tmp_path, config)
    try:
        def as_user(name):
            options = {"username": name, "password": USERS[name], **SESSION}
            return flight_sql.connect(server.uri, db_kwargs=options, autocommit=True)

        with as_user("eve") as connection, connection.cursor() as cursor:
            assert rows(cursor, "SELECT count(*) FROM sales.public.customers") == [(5000,)]
            for sql in ["INSERT INTO sales.public.twin VALUES (1)", "CREATE TABLE sales.marts.x AS SELECT 1 AS a",
                        "DROP TABLE sales.public.twin", database.create_catalog("mine"), "SHOW CREATE CATALOG sales"]:
                assert "may not" in fails(cursor, sql), sql
        with as_user("bob") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE sales.marts.x AS SELECT 1 AS a")
            cursor.execute("DROP TABLE sales.marts.x")
            for sql in ["INSERT INTO sales.public.twin VALUES (1)", "CREATE VIEW sales.marts.v AS SELECT * FROM pg_authid",
                        database.create_catalog("mine")]:
                assert "may not" in fails(cursor, sql), sql
        with as_user("ada") as connection, connection.cursor() as cursor:
            for reference in ["env('PATH')", "env('FJORD_PASSWORD')", "file('/etc/passwd')", "file('/proc/self/environ')",
                              f"file('{tmp_path}/users')"]:
                error = fails(cursor, database.create_catalog("mine").replace("env('SALES_PASSWORD')", reference))
                assert "root:" not in error and "$2y$" not in error, error
    finally:
        server.stop([database.password])


@pytest.mark.skipif(not CTL, reason="skipped: no FJORD_TEST_POSTGRES_CTL")
def test_a_database_that_is_down_fails_in_time_and_hides_nothing_else(server, cursor, database):
    cursor.execute("CREATE SCHEMA IF NOT EXISTS up")
    cursor.execute("CREATE OR REPLACE TABLE up.t AS SELECT 1 AS n")
    assert rows(cursor, "SELECT count(*) FROM sales.public.customers") == [(5000,)]
    control("-m", "immediate", "stop")
    try:
        began = time.monotonic()
        assert "sales" in fails(cursor, "SELECT count(*) FROM sales.public.customers")
        assert time.monotonic() - began <= 10
        began = time.monotonic()
        assert rows(cursor, "SELECT n FROM up.t") == [(1,)]
        assert ("sales",) in rows(cursor, "SHOW CATALOGS")
        with flight_sql.connect(server.uri, autocommit=True) as connection:
            found = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
            assert any(t["table_name"] == "t" for c in found for s in c["catalog_db_schemas"] or [] for t in s["db_schema_tables"] or [])
        assert time.monotonic() - began <= 10
        assert "sales" in fails(cursor, "INSERT INTO sales.marts.nothing SELECT n FROM up.t")
    finally:
        control("start")
    deadline = time.monotonic() + 30
    while True:
        try:
            assert rows(cursor, "SELECT count(*) FROM sales.public.customers") == [(5000,)]
            break
        except flight_sql.Error:
            assert time.monotonic() < deadline
            time.sleep(0.5)


LAND = """
INSERT INTO bronze.changes
SELECT o.*, now()
FROM sales.public.changes o
LEFT JOIN (SELECT id, updated_at FROM bronze.changes WHERE updated_at >= ?) b
       ON b.id = o.id AND b.updated_at = o.updated_at
WHERE o.updated_at >= ? AND b.id IS NULL
"""
MARK = "SELECT coalesce(max(updated_at), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '10 minutes' FROM bronze.changes"


def test_landing_by_a_cursor_takes_changes_and_late_rows_once(cursor, database):
    """The pattern of docs/federation.md."""
    database.sql("DROP TABLE IF EXISTS changes; CREATE TABLE changes (id int PRIMARY KEY, customer_id int, amount numeric(10, 2), updated_at timestamp)")
    cursor.execute("CREATE SCHEMA IF NOT EXISTS bronze")
    cursor.execute("DROP TABLE IF EXISTS bronze.changes")
    cursor.execute("CREATE TABLE IF NOT EXISTS bronze.changes AS SELECT *, now() AS landed_at FROM sales.public.changes WHERE false")
    cursor.execute(
        "CREATE OR REPLACE VIEW bronze.latest AS SELECT id, customer_id, amount, updated_at FROM (SELECT *, row_number() OVER "
        "(PARTITION BY id ORDER BY updated_at DESC, landed_at DESC) AS newest FROM bronze.changes) WHERE newest = 1")

    def land():
        ((mark,),) = rows(cursor, MARK)
        cursor.execute(LAND, (mark, mark))
        return cursor.rowcount

    assert land() == 0
    database.sql("INSERT INTO changes SELECT n, n, 1, timestamp '2024-05-01 12:00:00' + n * interval '1 second' FROM generate_series(1, 1000) n")
    assert land() == 1000
    assert land() == 0
    # A change, a new row, and one that was written before the mark and committed after the last run.
    database.sql(
        "UPDATE changes SET amount = 2, updated_at = '2024-05-01 13:00:00' WHERE id = 5;"
        "INSERT INTO changes VALUES (1001, 1, 3, '2024-05-01 13:00:01'), (1002, 1, 4, '2024-05-01 12:16:30')")
    assert land() == 3
    assert land() == 0
    ours = rows(cursor, "SELECT id, customer_id, amount, updated_at FROM bronze.latest ORDER BY id")
    theirs = rows(cursor, "SELECT id, customer_id, amount, updated_at FROM sales.public.changes ORDER BY id")
    assert ours == theirs and len(ours) == 1002
    # Later than the margin is later than what was promised: it is not seen.
    database.sql("INSERT INTO changes VALUES (1003, 1, 5, '2024-05-01 11:00:00')")
    assert land() == 0


def test_the_demo_writes_to_joins_and_lands_from_a_database(database, tmp_path):
    environment = {**os.environ, "PGPASSWORD": database.password}
    command = [BINARY, "demo", "--data-dir", str(tmp_path / "lake"), "--postgres", database.bare]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        assert "a mart written back" in done.stdout and database.password not in done.stdout + done.stderr
    (made,), = database.sql("SELECT count(*) FROM fjord_demo_segments")
    assert int(made) > 1000
    landed = subprocess.run(
        [BINARY, "sql", "--data-dir", str(tmp_path / "lake"), "--format", "json", "-c", "SELECT count(*) AS n FROM bronze.segments"],
        capture_output=True, text=True, timeout=120, env=environment, check=True)
    assert json.loads(landed.stdout) == {"n": int(made)}
    bad = [BINARY, "demo", "--data-dir", str(tmp_path / "other"), "--postgres", database.url]
    done = subprocess.run(bad, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 2 and database.password not in done.stdout + done.stderr, done.stderr
