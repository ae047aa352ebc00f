"""ADBC: cancelling, dropping and timing out: the work stops within two seconds (ADBC-19, ADBC-20, ADBC-25, P9, P10)."""

import threading
import time

import adbc_driver_flightsql.dbapi as flight_sql
import grpc
import pytest
from adbc_driver_manager import AdbcStatusCode

from server import Server
from wire import Wire, command, descriptor, encode

# Minutes of work before the first row.
HEAVY = "SELECT sum(value % 7) AS n FROM generate_series(1, 500000000000)"
# An endless stream for a reader who leaves early.
LONG = "SELECT value, repeat('x', 500) AS s FROM generate_series(1, 50000000)"


SERIES = "generate_series(1, 400000)"
# Each keeps another operator busy that gets few batches and makes many, or keeps what it gets.
STUBBORN = {
    "cross join": f"SELECT sum((a.value * b.value) % 7) AS n FROM {SERIES} a CROSS JOIN {SERIES} b",
    "nested loops": f"SELECT count(*) AS n FROM {SERIES} a JOIN {SERIES} b ON a.value * 3 < b.value * 2",
    "hash join": f"SELECT sum(b.value) AS n FROM {SERIES} a JOIN {SERIES} b ON a.value % 2 = b.value % 2",
    # Filters that let nothing pass: one poll goes on until a side is through.
    "barren nested loops": f"SELECT count(*) AS n FROM {SERIES} a JOIN {SERIES} b ON a.value * 3 < b.value - 90000000",
    "barren hash join": f"SELECT count(*) AS n FROM {SERIES} a JOIN {SERIES} b ON a.value % 2 = b.value % 2 AND a.value * 3 < b.value - 90000000",
    "sort": "SELECT value FROM generate_series(1, 60000000) ORDER BY value % 1000003, value DESC LIMIT 1 OFFSET 50000000",
    "window": "SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY value % 10 ORDER BY -value) AS r FROM generate_series(1, 40000000))",
    "recursion": "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT sum(i) AS n FROM n",
    "unnest": f"SELECT count(u) AS n FROM (SELECT UNNEST(range(0, 100000)) AS u FROM {SERIES})",
    "distinct": "SELECT count(DISTINCT value % 30000001) AS n FROM generate_series(1, 4000000000)",
}


@pytest.fixture(autouse=True)
def idle_before(request, open_server):
    if "stubborn" not in request.node.name:
        open_server.assert_idle_within(10)


def test_adbc_19_cancel_stops_a_query_before_its_first_row(open_server, connection):
    outcome = []

    def run(cursor):
        try:
            cursor.execute(HEAVY)
            cursor.fetchall()
        except flight_sql.Error as error:
            outcome.append(error)

    with connection.cursor() as cursor:
        thread = threading.Thread(target=run, args=(cursor,))
        thread.start()
        open_server.await_work()
        cursor.adbc_cancel()
        thread.join(5)
        assert not thread.is_alive()
    assert outcome and outcome[0].status_code == AdbcStatusCode.CANCELLED
    open_server.assert_idle_within(2)


def test_adbc_20_a_reader_dropped_early_stops_the_query(open_server, connection):
    with connection.cursor() as cursor:
        cursor.execute(LONG)
        reader = cursor.fetch_record_batch()
        assert reader.read_next_batch().num_rows
        reader.close()
        del reader
    open_server.assert_idle_within(2)


def test_adbc_25_a_deadline_of_the_driver_stops_the_work(open_server):
    options = {"adbc.flight.sql.rpc.timeout_seconds.fetch": "1.5", "adbc.flight.sql.rpc.timeout_seconds.query": "1.5"}
    with flight_sql.connect(open_server.uri, autocommit=True, conn_kwargs=options) as connection:
        with connection.cursor() as cursor, pytest.raises(flight_sql.Error) as caught:
            cursor.execute(HEAVY)
            cursor.fetchall()
    assert caught.value.status_code == AdbcStatusCode.TIMEOUT, caught.value
    open_server.assert_idle_within(2)


def test_adbc_25_grpc_timeout_is_deadline_exceeded_on_the_server_too(open_server, wire):
    ticket = wire.query(HEAVY).ticket
    with pytest.raises(grpc.RpcError) as caught:
        wire.frames(ticket, timeout=1.5)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    open_server.assert_idle_within(2)


def test_p09_a_disconnect_while_rows_flow_stops_the_work(open_server):
    wire = Wire(open_server)
    stream = wire.open(wire.query(LONG).ticket)
    next(stream)
    next(stream)
    wire.close()
    open_server.assert_idle_within(2)


def test_p09_a_disconnect_before_the_first_row_stops_the_work(open_server):
    wire = Wire(open_server)
    stream = wire.open(wire.query(HEAVY).ticket)
    reader = threading.Thread(target=lambda: pytest.raises(grpc.RpcError, list, stream))
    reader.start()
    open_server.await_work()
    wire.close()
    open_server.assert_idle_within(2)
    reader.join(5)


def test_p09_a_cancelled_flight_info_stops_its_statement_and_nothing_is_made(open_server, wire, schema):
    cmd = command("CommandStatementQuery", {1: f"CREATE TABLE {schema}.never AS {HEAVY}"})
    call = wire.channel.unary_unary("/arrow.flight.protocol.FlightService/GetFlightInfo").future(descriptor(cmd))
    open_server.await_work()
    call.cancel()
    open_server.assert_idle_within(2)
    names = wire.rows(f"SELECT table_name AS n FROM information_schema.tables WHERE table_schema = '{schema}'")
    assert names["n"].to_pylist() == []


def test_p09_a_cancelled_update_stops_and_changes_nothing(open_server, wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (n bigint)")
    failed = []

    def run():
        try:
            wire.update(f"INSERT INTO {schema}.t {HEAVY}", timeout=1.5)
        except grpc.RpcError as error:
            failed.append(error.code())

    run()
    assert failed == [grpc.StatusCode.DEADLINE_EXCEEDED]
    open_server.assert_idle_within(2)
    assert wire.rows(f"SELECT count(*) AS n FROM {schema}.t")["n"].to_pylist() == [0]


def test_p09_cancel_flight_info_stops_a_running_query(open_server, wire):
    info = wire.query(HEAVY)
    stream = wire.open(info.ticket)
    ended = []
    reader = threading.Thread(target=lambda: ended.append(pytest.raises(grpc.RpcError, list, stream).value.code()))
    reader.start()
    open_server.await_work()
    (answer,) = wire.action("CancelFlightInfo", encode({1: info.raw}))
    assert answer in (encode({1: 1}), encode({1: 2}))
    open_server.assert_idle_within(2)
    reader.join(5)
    assert ended == [grpc.StatusCode.CANCELLED]


def test_p10_a_reader_that_sleeps_holds_little_and_no_processor(open_server):
    with Wire(open_server) as wire:
        before = open_server.rss_bytes()
        stream = wire.open(wire.query(LONG).ticket)
        next(stream)
        time.sleep(2)
        settled = open_server.rss_bytes()
        open_server.assert_idle_within(3)
        time.sleep(1)
        later = open_server.rss_bytes()
        assert later - settled < 8 << 20, f"grew by {later - settled} bytes while nobody read"
        assert later - before < 96 << 20, f"{later - before} bytes are held for one sleeping reader"
        stream.cancel()


@pytest.fixture
def lone_server(tmp_path):
    """A server of its own: one that does not let go of a query must not spoil the other tests."""
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.mark.parametrize("operator", STUBBORN)
def test_p09_a_stubborn_operator_stops_and_lets_others_in(lone_server, operator):
    with Wire(lone_server) as wire, Wire(lone_server) as other:
        stream = wire.open(wire.query(STUBBORN[operator]).ticket)
        reader = threading.Thread(target=lambda: pytest.raises(grpc.RpcError, list, stream))
        reader.start()
        lone_server.await_work()
        start = time.monotonic()
        assert other.rows("SELECT 1 AS n", timeout=5).num_rows == 1
        assert time.monotonic() - start < 2
        stream.cancel()
        lone_server.assert_idle_within(2)
        reader.join(5)
