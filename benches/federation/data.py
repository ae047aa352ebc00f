"""The sides of the comparison: one PostgreSQL with TPC-H in it, Fjord's server, DuckDB, and `psql`."""

import os
import re
import subprocess
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb
import duckdb_extensions

import server
from databases import BIN, Database, control

PAGE_BYTES = 8192
LOADED = ("lineitem", "orders")
TABLES = """
CREATE TABLE lineitem (
  l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber bigint NOT NULL,
  l_quantity decimal(15, 2) NOT NULL, l_extendedprice decimal(15, 2) NOT NULL, l_discount decimal(15, 2) NOT NULL,
  l_tax decimal(15, 2) NOT NULL, l_returnflag varchar NOT NULL, l_linestatus varchar NOT NULL, l_shipdate date NOT NULL,
  l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct varchar NOT NULL, l_shipmode varchar NOT NULL,
  l_comment varchar NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber));
CREATE TABLE orders (
  o_orderkey bigint NOT NULL PRIMARY KEY, o_custkey bigint NOT NULL, o_orderstatus varchar NOT NULL,
  o_totalprice decimal(15, 2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority varchar NOT NULL,
  o_clerk varchar NOT NULL, o_shippriority integer NOT NULL, o_comment varchar NOT NULL);
CREATE EXTENSION pg_stat_statements;
"""


class World:
    """All sides, loaded and started."""

    def __init__(self, folder, scale, fjord):
        self.folder = folder
        server.BINARY = str(fjord)
        control("restart", "-o", "-c shared_preload_libraries=pg_stat_statements")
        self.database = Database()
        self.database.sql(TABLES)
        self._load(scale)
        (rows, size), = self.database.sql("SELECT count(*), pg_relation_size('lineitem') FROM lineitem")
        self.rows, self.bytes = int(rows), int(size)
        self.database.sql("CHECKPOINT")
        self.server = server.Server(folder / "fjord", self.database.config(name="pg"))
        self.connection = flight_sql.connect(self.server.uri, autocommit=True)
        self.fjord("CREATE SCHEMA IF NOT EXISTS iceberg.bench")

    def stop(self):
        self.connection.close()
        self.duck.close()
        self.server.stop()

    # Fjord

    def fjord(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def fjord_plan(self, sql):
        return "\n".join(text for kind, text in self.fjord(f"EXPLAIN {sql}") if kind == "physical_plan")

    def fjord_scan(self):
        self.fjord("EXPLAIN ANALYZE SELECT * FROM pg.public.lineitem")

    def fjord_copy(self):
        self.fjord("CREATE TABLE pg.public.copied AS SELECT * FROM iceberg.bench.lineitem")

    def fjord_cpu(self):
        return self.server.cpu_seconds()

    def choose(self, every):
        """A table of the lake with a few keys of orders; how many."""
        self.fjord(
            "CREATE OR REPLACE TABLE iceberg.bench.chosen AS SELECT o_orderkey AS orderkey, o_orderkey % 3 AS label "
            f"FROM pg.public.orders WHERE o_orderkey % {every} = 1")
        (count,), = self.fjord("SELECT count(*) FROM iceberg.bench.chosen")
        self.every = every
        return count

    # DuckDB

    def _load(self, scale):
        self.duck = duckdb.connect()
        for name in ("tpch", "postgres_scanner"):
            duckdb_extensions.import_extension(name, con=self.duck)
            self.duck.load_extension(name)
        parts = self.database.parts
        where = (
            f"host={parts.hostname} port={parts.port} user={parts.username} password={parts.password} dbname={self.database.name}")
        self.duck.execute(f"ATTACH '{where}' AS duck_pg (TYPE postgres)")
        self.duck.execute(f"CALL dbgen(sf = {scale})")
        for table in LOADED:
            self.duck.execute(f"INSERT INTO duck_pg.public.{table} SELECT * FROM memory.main.{table}")
        for (table,) in self.duck.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'memory'").fetchall():
            self.duck.execute(f"DROP TABLE memory.main.{table}")
        self.duck.execute("DETACH duck_pg")
        # Tuples are marked as seen by all now, and not while somebody is timed.
        for table in LOADED:
            self.database.sql(f"VACUUM (ANALYZE) {table}")
        self.duck.execute(f"ATTACH '{where}' AS duck_pg (TYPE postgres, READ_ONLY)")

    def duckdb(self, sql):
        return self.duck.execute(sql).fetchall()

    def duckdb_scan(self):
        self.duckdb("EXPLAIN ANALYZE SELECT * FROM duck_pg.public.lineitem")

    # psql

    def _psql(self, *commands, quiet=True):
        words = [str(Path(BIN) / "psql"), self.database.url, "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        for command in commands:
            words += ["-c", command]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL if quiet else subprocess.PIPE)

    def psql_scan(self):
        middle = self.bytes // PAGE_BYTES // 2
        halves = [f"ctid < '({middle},0)'::tid", f"ctid >= '({middle},0)'::tid"]
        copies = [
            self._psql(f"COPY (SELECT * FROM lineitem WHERE {half}) TO STDOUT (FORMAT BINARY)") for half in halves]
        for copy in copies:
            assert copy.wait() == 0

    def psql_join(self):
        rows = self.database.sql(
            "SELECT l_orderkey % 3, count(*), sum(l_quantity) FROM lineitem "
            f"WHERE l_orderkey % {self.every} = 1 GROUP BY 1 ORDER BY 1")
        return [tuple(row) for row in rows]

    def forget_statements(self):
        self.database.sql("SELECT pg_stat_statements_reset()")

    def copied(self):
        """Rows and text of every COPY since the statements were forgotten."""
        found = self.database.sql(
            "SELECT rows, regexp_replace(query, '\\s+', ' ', 'g') FROM pg_stat_statements "
            "WHERE query LIKE 'COPY%' ORDER BY rows DESC")
        return [(int(rows), text) for rows, text in found]

    def psql_copy(self):
        create = "CREATE TABLE copied (LIKE lineitem)"
        # As ours is made: no column of a query is known to be without NULLs.
        free = "; ".join(f"ALTER TABLE copied ALTER {column} DROP NOT NULL" for column in self._columns())
        copy = self._psql("BEGIN", f"{create}; {free}", f"\\copy copied FROM '{self._file()}' (FORMAT BINARY)", "COMMIT")
        assert copy.wait() == 0

    def _columns(self):
        return re.findall(r"\bl_\w+(?= (?:bigint|decimal|varchar|date))", TABLES)

    def _file(self):
        """lineitem as `psql` reads it fastest, and the same rows in the lake."""
        file = self.folder / "lineitem.bin"
        if not file.exists():
            with file.open("wb") as out:
                words = [str(Path(BIN) / "psql"), self.database.url, "-X", "-q", "-c", "COPY lineitem TO STDOUT (FORMAT BINARY)"]
                subprocess.run(words, stdout=out, check=True)
            self.fjord("CREATE TABLE iceberg.bench.lineitem AS SELECT * FROM pg.public.lineitem")
        return file

    def drop_copies(self):
        """Nothing of the last round is left to be written while the next is timed."""
        self._file()
        if self.database.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'copied'") == [["1"]]:
            (rows, total), = self.database.sql("SELECT count(*), sum(l_extendedprice) FROM copied")
            expected, = self.database.sql("SELECT count(*), sum(l_extendedprice) FROM lineitem")
            assert [rows, total] == expected, (rows, total, expected)
            self.database.sql("DROP TABLE copied")
        os.sync()
        self.database.sql("CHECKPOINT")
