"""Data frames and notebooks over ADBC: pandas, polars, DuckDB, jupysql, SQLAlchemy (clients.md §7).

flightsql-dbapi is left out: it cannot be installed beside the SQLAlchemy of today.
"""

import datetime
import decimal
import sqlite3
import time

import duckdb
import pandas
import polars
import pyarrow as pa
import pytest

FRAME = {
    "id": [1, 2, 3],
    "who": ["ada", None, "eve"],
    "amount": [1.5, 2.5, None],
    "day": [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2), None],
    "ok": [True, False, None],
}


def test_pandas_reads_a_query_with_the_types_of_the_table(connection):
    frame = pandas.read_sql("SELECT value AS n, CAST(value AS double) / 2 AS h FROM generate_series(1, 4)", connection)
    assert frame["n"].tolist() == [1, 2, 3, 4] and frame["h"].tolist() == [0.5, 1.0, 1.5, 2.0]


def test_pandas_reads_nothing_as_a_frame_with_columns(connection):
    frame = pandas.read_sql("SELECT value AS n, 'x' AS s FROM generate_series(1, 9) WHERE value > 9", connection)
    assert list(frame.columns) == ["n", "s"] and len(frame) == 0


@pytest.mark.parametrize("mode", ["fail", "replace", "append"])
def test_pandas_writes_in_every_mode(connection, schema, mode):
    frame = pandas.DataFrame({"id": [1, 2], "who": ["a", "b"]})
    assert frame.to_sql("t", connection, schema=schema, index=False, if_exists=mode) == 2
    if mode == "fail":
        with pytest.raises(Exception, match="exists"):
            frame.to_sql("t", connection, schema=schema, index=False, if_exists=mode)
    else:
        frame.to_sql("t", connection, schema=schema, index=False, if_exists=mode)
    expected = {"fail": 2, "replace": 2, "append": 4}[mode]
    assert pandas.read_sql(f"SELECT count(*) AS n FROM {schema}.t", connection)["n"].tolist() == [expected]


def test_pandas_round_trips_times_and_nulls(connection, schema):
    at = pandas.to_datetime(["2026-01-01 10:00:00.123456", None])
    frame = pandas.DataFrame({"at": at, "x": [None, 2.5], "s": ["ü", None]})
    frame.to_sql("t", connection, schema=schema, index=False)
    back = pandas.read_sql(f"SELECT at, x, s FROM {schema}.t ORDER BY s NULLS LAST", connection)
    assert back["at"].iloc[0] == at[0] and pandas.isna(back["at"].iloc[1])
    assert back["x"].iloc[1] == 2.5 and back["s"].iloc[0] == "ü"


def test_polars_reads_and_writes(connection, schema):
    frame = polars.DataFrame(FRAME)
    assert frame.write_database(f"{schema}.t", connection, if_table_exists="fail") in (3, -1)
    back = polars.read_database(f"SELECT id, who, amount, day, ok FROM {schema}.t ORDER BY id", connection)
    assert back.to_dict(as_series=False) == FRAME
    frame.write_database(f"{schema}.t", connection, if_table_exists="append")
    assert polars.read_database(f"SELECT count(*) AS n FROM {schema}.t", connection)["n"].to_list() == [6]
    frame.write_database(f"{schema}.t", connection, if_table_exists="replace")
    assert polars.read_database(f"SELECT count(*) AS n FROM {schema}.t", connection)["n"].to_list() == [3]


def test_polars_reads_by_uri(open_server):
    uri = f"flightsql://{open_server.address}?transport=tcp"
    frame = polars.read_database_uri("SELECT value FROM generate_series(1, 100)", uri, engine="adbc")
    assert frame["value"].to_list() == list(range(1, 101))


def test_polars_reads_decimals_lists_and_structs_of_the_default_profile(connection):
    sql = "SELECT CAST(1.5 AS decimal(38, 2)) AS d, [1, 2] AS l, named_struct('a', 1) AS s, '9'::TEXT AS t"
    row = polars.read_database(sql, connection).row(0, named=True)
    assert row == {"d": decimal.Decimal("1.50"), "l": [1, 2], "s": {"a": 1}, "t": "9"}


def test_duckdb_queries_the_stream(cursor):
    cursor.execute("SELECT value AS n, value % 3 AS g FROM generate_series(1, 300000)")
    reader = cursor.fetch_record_batch()  # DuckDB finds it by its name
    found = duckdb.sql("SELECT g, count(*) AS c, sum(n) AS s FROM reader GROUP BY g ORDER BY g").fetchall()
    assert [c for _, c, _ in found] == [100_000] * 3 and sum(s for *_, s in found) == 300_000 * 300_001 // 2


def test_jupysql_runs_on_the_connection(connection):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        shell.run_line_magic("load_ext", "sql")
        shell.push({"fjord": connection})
        shell.run_line_magic("sql", "fjord")
        result = shell.run_cell_magic("sql", "", "SELECT value AS n FROM generate_series(1, 3)")
        assert [row[0] for row in result] == [1, 2, 3]
    finally:
        InteractiveShell.clear_instance()


def test_sqlalchemy_reads_and_reflects(open_server, wire, schema):
    import sqlalchemy

    wire.update(f"CREATE TABLE {schema}.t (id bigint)")
    engine = sqlalchemy.create_engine(f"adbc+flightsql://{open_server.address}?tls=false")
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
    # `get_table_names` finds types spelt `table` alone; Flight SQL's word, and Grafana's, is BASE TABLE.
    assert [c["name"] for c in sqlalchemy.inspect(engine).get_columns("t", schema=schema)] == ["id"]
    engine.dispose()


TABLES = 5000


@pytest.fixture
def many_tables(open_server, wire, schema):
    """5,000 names in the embedded catalog's SQLite file, all with the metadata of one table."""
    wire.update(f"CREATE TABLE {schema}.first (id bigint)")
    file = open_server.folder / "data" / "catalog.db"
    with sqlite3.connect(file, timeout=30) as catalog:
        row = catalog.execute(
            "SELECT catalog_name, metadata_location FROM iceberg_tables WHERE table_namespace = ?", (schema,)
        ).fetchone()
        assert row, "the new table is not in catalog.db"
        columns = "catalog_name, table_namespace, table_name, metadata_location"
        rows = [(row[0], schema, f"t{n:05}", row[1]) for n in range(TABLES)]
        catalog.executemany(f"INSERT INTO iceberg_tables ({columns}) VALUES (?, ?, ?, ?)", rows)
    catalog.close()
    yield schema
    with sqlite3.connect(file, timeout=30) as catalog:
        catalog.execute("DELETE FROM iceberg_tables WHERE table_namespace = ? AND table_name <> 'first'", (schema,))
    catalog.close()


def test_p18_with_5000_tables_read_sql_takes_less_than_a_second(many_tables, connection):
    pandas.read_sql("SELECT 1 AS n", connection)
    start = time.monotonic()
    frame = pandas.read_sql("SELECT 1 AS n", connection)
    seconds = time.monotonic() - start
    assert frame["n"].tolist() == [1] and seconds < 1, f"{seconds:.2f} s"


def test_p18_and_adbc_14_5000_tables_are_listed(many_tables, connection):
    start = time.monotonic()
    found = connection.adbc_get_objects(depth="tables", db_schema_filter=many_tables).read_all().to_pylist()
    names = next(c for c in found if c["catalog_name"] == "iceberg")["catalog_db_schemas"][0]["db_schema_tables"]
    assert len(names) == TABLES + 1 and time.monotonic() - start < 5


def test_a_large_table_made_by_sql_is_read_as_arrow(cursor, schema):
    cursor.execute(f"CREATE TABLE {schema}.big AS SELECT value AS n, CAST(value AS varchar) AS s FROM generate_series(1, 1000000)")
    cursor.execute(f"SELECT n, s FROM {schema}.big")
    table = cursor.fetch_arrow_table()
    assert table.num_rows == 1_000_000 and isinstance(table, pa.Table)
    assert sum(len(c) for c in table["n"].chunks) == 1_000_000
