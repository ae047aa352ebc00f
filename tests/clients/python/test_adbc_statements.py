"""ADBC: statements, parameters, scripts, codes of errors (clients.md §2)."""

import datetime
import decimal

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pytest
from adbc_driver_manager import AdbcStatusCode

from wire import command, decode, descriptor, encode, schema_of, signed, to_frames


def raises(status, call, *arguments):
    with pytest.raises(flight_sql.Error) as caught:
        call(*arguments)
    assert caught.value.status_code == status, caught.value
    return caught.value


def test_adbc_05_no_transactions_are_reported_that_are_not_honoured(open_server, wire):
    with pytest.warns(Warning, match="(?i)autocommit"):
        connection = flight_sql.connect(open_server.uri)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    with pytest.raises(Exception) as caught:
        wire.action("BeginTransaction", command("ActionBeginTransactionRequest"))
    assert caught.value.code().name == "UNIMPLEMENTED"


def test_adbc_06_queries_ddl_and_dml_are_all_prepared_then_run(cursor, schema):
    cursor.execute(f"CREATE TABLE {schema}.t (id bigint, who varchar)")
    cursor.execute(f"INSERT INTO {schema}.t VALUES (1, 'a'), (2, 'b'), (3, NULL)")
    assert cursor.rowcount == 3
    cursor.execute(f"SELECT id, who FROM {schema}.t ORDER BY id")
    assert cursor.fetchall() == [(1, "a"), (2, "b"), (3, None)]
    cursor.execute(f"DELETE FROM {schema}.t")
    assert cursor.rowcount == 3
    cursor.execute(f"SELECT count(*) FROM {schema}.t")
    assert cursor.fetchone() == (0,)
    cursor.execute(f"DROP TABLE {schema}.t")
    raises(AdbcStatusCode.NOT_FOUND, cursor.execute, f"SELECT * FROM {schema}.t")


def test_adbc_06_a_result_of_many_batches_arrives_whole_and_in_order(cursor):
    cursor.execute("SELECT value AS n FROM generate_series(1, 3000000) ORDER BY value")
    reader = cursor.fetch_record_batch()
    expected, batches = 1, 0
    for batch in reader:
        if batch.num_rows:
            assert batch["n"][0].as_py() == expected
            expected = batch["n"][-1].as_py() + 1
            batches += 1
    assert expected == 3_000_001 and batches > 8


@pytest.mark.parametrize("mark", ["?", "$1"])
def test_adbc_07_parameters_are_bound_by_position(cursor, mark):
    cursor.execute(f"SELECT value * 2 AS d FROM generate_series(1, 5) WHERE value = {mark}", (3,))
    assert cursor.fetchall() == [(6,)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", True),
        ("int", 7),
        ("bigint", 2**40),
        ("double", 1.25),
        ("decimal(10, 2)", decimal.Decimal("12.34")),
        ("varchar", "naïve 'quoted' \N{SNOWMAN}"),
        ("varbinary", b"\x00\xff"),
        ("date", datetime.date(2026, 2, 28)),
        ("timestamp", datetime.datetime(2026, 2, 28, 12, 30, 1, 123456)),
        ("timestamp with time zone", datetime.datetime(2026, 2, 28, 12, 30, tzinfo=datetime.timezone.utc)),
    ],
)
def test_adbc_07_parameters_of_every_type_reach_the_table(cursor, schema, kind, value):
    cursor.execute(f"CREATE TABLE {schema}.t (v {kind})")
    cursor.executemany(f"INSERT INTO {schema}.t VALUES (?)", [(value,)])
    cursor.execute(f"SELECT v FROM {schema}.t WHERE v = ?", (value,))
    assert cursor.fetchall() == [(value,)]


def test_adbc_07_a_null_parameter_is_null(cursor):
    cursor.execute("SELECT coalesce(CAST(? AS bigint), 9) AS n", (None,))
    assert cursor.fetchall() == [(9,)]


def test_adbc_07_n_rows_of_parameters_are_n_executions_concatenated(cursor):
    rows = pa.record_batch({"0": pa.array([3, 1, 2], pa.int64())})
    cursor.adbc_statement.set_sql_query("SELECT value FROM generate_series(1, 3) WHERE value <= ? ORDER BY value")
    cursor.adbc_statement.prepare()
    cursor.adbc_statement.bind(rows)
    handle, _ = cursor.adbc_statement.execute_query()
    table = pa.RecordBatchReader._import_from_c(handle.address).read_all()
    assert table["value"].to_pylist() == [1, 2, 3, 1, 1, 2]


def test_adbc_07_a_prepared_handle_is_used_again(cursor):
    for n in range(20):
        cursor.execute("SELECT ? + 1 AS n", (n,))
        assert cursor.fetchone() == (n + 1,)


def test_adbc_07_the_handle_that_a_binding_returns_carries_it(wire):
    handle, _, parameters = wire.prepare("SELECT CAST($1 AS bigint) + CAST($2 AS bigint) AS n")
    assert len(parameters) == 2
    bound = wire.bind(handle, pa.table({"0": pa.array([4], pa.int64()), "1": pa.array([38], pa.int64())}))
    assert wire.run_prepared(bound)["n"].to_pylist() == [42]


def test_adbc_07_too_few_parameters_are_an_error(cursor):
    error = raises(AdbcStatusCode.INVALID_ARGUMENT, cursor.execute, "SELECT ? + CAST(? AS bigint)", (1,))
    assert "parameter" in str(error)


@pytest.mark.parametrize(
    ("sql", "values", "expected"),
    [
        ("SELECT ? + ?", (1, 2), 3),
        ("SELECT ? + ?", (1.5, 2.5), 4.0),
        ("SELECT ? || ?", ("a", "b"), "ab"),
        ("SELECT -?", (5,), -5),
        ("SELECT abs(?)", (-5,), 5),
        ("SELECT round(CAST(1.25 AS double), ?)", (1,), 1.3),
        ("SELECT substring('lakehouse', ?, ?)", (1, 4), "lake"),
        ("SELECT TIMESTAMP '2026-01-01 00:00:00' + ?", (datetime.timedelta(days=1),), datetime.datetime(2026, 1, 2)),
    ],
)
def test_adbc_07_parameters_that_nothing_gives_a_type_take_any(cursor, sql, values, expected):
    cursor.execute(sql, values)
    assert cursor.fetchone() == (expected,)


def test_adbc_08_executemany_returns_the_sum_of_affected_rows(cursor, schema):
    cursor.execute(f"CREATE TABLE {schema}.t (id bigint, who varchar)")
    cursor.executemany(f"INSERT INTO {schema}.t VALUES (?, ?)", [(n, f"p{n}") for n in range(25)])
    assert cursor.rowcount == 25
    cursor.execute(f"SELECT count(*), min(who), max(id) FROM {schema}.t")
    assert cursor.fetchone() == (25, "p0", 24)


def snapshots(cursor, schema):
    cursor.execute(f'SELECT count(*) FROM {schema}."t$snapshots"')
    return cursor.fetchone()[0]


def test_adbc_08_executemany_of_parameters_alone_is_one_commit_and_all_or_nothing(cursor, schema):
    cursor.execute(f"CREATE TABLE {schema}.t (id int, who varchar, at timestamp, price decimal(9, 2))")
    day = datetime.datetime(2026, 1, 2, 3, 4, 5)
    rows = [(n, None if n % 3 == 0 else f"p{n}", day, decimal.Decimal(n) / 4) for n in range(1000)]
    before = snapshots(cursor, schema)
    # Columns by name, in another order than the table's.
    cursor.executemany(f"INSERT INTO {schema}.t (price, id, who, at) VALUES (?, ?, ?, ?)", [(d, a, b, c) for a, b, c, d in rows])
    assert cursor.rowcount == 1000
    assert snapshots(cursor, schema) == before + 1
    cursor.execute(f"SELECT id, who, at, price FROM {schema}.t ORDER BY id")
    assert cursor.fetchall() == rows
    # The third does not fit: none is there.
    error = raises(AdbcStatusCode.INVALID_ARGUMENT, cursor.executemany, f"INSERT INTO {schema}.t (id) VALUES (?)", [(1,), (2,), (1 << 40,)])
    assert "id" in str(error)
    # An expression around a parameter: each row by itself.
    cursor.executemany(f"INSERT INTO {schema}.t (id) VALUES (? + 1)", [(5000,), (6000,)])
    assert cursor.rowcount == 2
    assert snapshots(cursor, schema) == before + 3
    cursor.execute(f"SELECT count(*), max(id) FROM {schema}.t")
    assert cursor.fetchone() == (1002, 6001)


def test_adbc_09_a_script_runs_in_order_and_its_first_failure_names_the_statement(cursor, schema):
    cursor.executescript(
        f"""
        -- a semicolon ; in a comment
        CREATE TABLE {schema}.t (who varchar);
        INSERT INTO {schema}.t VALUES ('a;b');
        INSERT INTO {schema}.t SELECT who || '!' FROM {schema}.t;
        """
    )
    cursor.execute(f"SELECT who FROM {schema}.t ORDER BY who")
    assert cursor.fetchall() == [("a;b",), ("a;b!",)]
    script = f"INSERT INTO {schema}.t VALUES ('c'); INSERT INTO {schema}.nowhere VALUES (1); DROP TABLE {schema}.t"
    error = raises(AdbcStatusCode.NOT_FOUND, cursor.executescript, script)
    assert "nowhere" in str(error) and ("statement 2" in str(error) or "INSERT INTO" in str(error))
    cursor.execute(f"SELECT count(*) FROM {schema}.t")
    assert cursor.fetchone() == (3,)


def test_adbc_09_a_script_of_one_frame_without_schema_returns_a_count(wire, schema):
    assert wire.update(f"CREATE TABLE {schema}.t (id bigint)") in (0, -1)
    assert wire.update(f"INSERT INTO {schema}.t VALUES (1), (2)") == 2


def test_adbc_10_unprepared_queries_updates_and_get_schema(wire, schema):
    sql = "SELECT 1 AS n, 'a' AS s"
    cmd = command("CommandStatementQuery", {1: sql})
    told = schema_of(decode(wire.unary("GetSchema", descriptor(cmd)))[1][0])
    info = wire.info(cmd)
    assert told.equals(info.schema) and told.names == ["n", "s"]
    assert wire.table(info.ticket).to_pylist() == [{"n": 1, "s": "a"}]
    wire.update(f"CREATE TABLE {schema}.t (id bigint)")
    assert wire.update(f"INSERT INTO {schema}.t VALUES (1)") == 1
    handle, *_ = wire.prepare(sql)
    prepared = command("CommandPreparedStatementQuery", {1: handle})
    assert schema_of(decode(wire.unary("GetSchema", descriptor(prepared)))[1][0]).equals(told)


def test_adbc_10_get_schema_of_dml_runs_nothing(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (id bigint)")
    wire.unary("GetSchema", descriptor(command("CommandStatementQuery", {1: f"INSERT INTO {schema}.t VALUES (1)"})))
    assert wire.rows(f"SELECT count(*) AS n FROM {schema}.t")["n"].to_pylist() == [0]


def test_adbc_24_an_empty_result_keeps_its_schema(cursor, wire):
    cursor.execute("SELECT value, 'a' AS s FROM generate_series(1, 5) WHERE value > 9")
    table = cursor.fetch_arrow_table()
    assert table.num_rows == 0 and table.column_names == ["value", "s"]
    info = wire.query("SELECT value, 'a' AS s FROM generate_series(1, 5) WHERE value > 9")
    assert info.schema.equals(wire.table(info.ticket).schema)


@pytest.mark.parametrize(
    ("sql", "status"),
    [
        ("SELEC 1", AdbcStatusCode.INVALID_ARGUMENT),
        ("SELECT nothing_here", AdbcStatusCode.INVALID_ARGUMENT),
        ("SELECT * FROM nowhere.at_all", AdbcStatusCode.NOT_FOUND),
        ("DROP TABLE nowhere.at_all", AdbcStatusCode.NOT_FOUND),
        ("CREATE SCHEMA {schema}", AdbcStatusCode.ALREADY_EXISTS),
        ("SELECT * FROM information_schema.tables FOR UPDATE", AdbcStatusCode.NOT_IMPLEMENTED),
        ("SELECT 1 / (value - 1) FROM generate_series(1, 2)", AdbcStatusCode.INVALID_ARGUMENT),
    ],
)
def test_adbc_30_each_kind_of_error_has_its_code_and_a_readable_first_line(cursor, schema, sql, status):
    def run():
        cursor.execute(sql.format(schema=schema))
        cursor.fetchall()

    error = raises(status, run)
    first = str(error).splitlines()[0]
    assert len(first) > 15 and "DataFusion error" not in first and "Error::" not in first, first


def test_adbc_30_the_query_id_is_in_the_trailers(cursor):
    def run():
        cursor.execute("SELECT 1 / (value - 1) FROM generate_series(1, 2)")
        cursor.fetchall()

    error = raises(AdbcStatusCode.INVALID_ARGUMENT, run)
    keys = [key.decode() if isinstance(key, bytes) else key for key, _ in error.details]
    assert "fjord-query-id" in keys, keys


def test_adbc_29_compressed_bodies_of_the_native_profile_are_read(open_server):
    options = {"adbc.flight.sql.rpc.call_header.fjord-output-profile": "native"}
    with flight_sql.connect(open_server.uri, db_kwargs=options, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT value, repeat('x', 100) AS s FROM generate_series(1, 20000)")
            table = cursor.fetch_arrow_table()
    assert table.num_rows == 20000 and table["s"][19999].as_py() == "x" * 100


def test_adbc_11_record_count_of_a_raw_ingest(wire, schema):
    table = pa.table({"id": pa.array([1, 2, 3], pa.int64())})
    cmd = command("CommandStatementIngest", {1: encode({1: 1, 2: 1}), 2: "raw", 3: schema, 4: "iceberg"})
    answers = wire.put(to_frames(cmd, table))
    assert signed(decode(answers[-1])[1][0]) == 3
