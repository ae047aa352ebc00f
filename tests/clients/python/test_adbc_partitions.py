"""ADBC: tickets, endpoints and polling (ADBC-21 to ADBC-23, P16)."""

import subprocess
import sys
import time

import adbc_driver_flightsql.dbapi as flight_sql
import grpc
import pyarrow as pa
import pytest
from adbc_driver_manager import StatementOptions

from configurations import ADMIN, READER, USERS, WRITER
from wire import Info, command, decode, descriptor, encode

READ = """
import sys
import adbc_driver_flightsql.dbapi as flight_sql
db = {"username": sys.argv[2], "password": sys.argv[3]}
with flight_sql.connect(sys.argv[1], db_kwargs=db, autocommit=True) as connection, connection.cursor() as cursor:
    cursor.adbc_read_partition(bytes.fromhex(sys.argv[4]))
    print(cursor.fetch_arrow_table().num_rows)
"""
SQL = "SELECT value FROM generate_series(1, 1000)"


def test_adbc_21_a_partition_is_read_by_another_process_with_another_token(password_server, login):
    with login().cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions(SQL)
    assert schema.names == ["value"] and len(partitions) == 1
    for _ in range(2):
        arguments = [sys.executable, "-c", READ, password_server.uri, ADMIN, USERS[ADMIN], partitions[0].hex()]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "1000", done.stderr


def test_adbc_21_another_user_may_not_read_it(password_server, login):
    with login(WRITER).cursor() as cursor:
        partitions, _ = cursor.adbc_execute_partitions(SQL)
    with login(READER).cursor() as cursor, pytest.raises(flight_sql.Error):
        cursor.adbc_read_partition(partitions[0])
        cursor.fetchall()


def test_adbc_21_a_ticket_read_later_answers_from_the_same_snapshot(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t AS SELECT value AS n FROM generate_series(1, 10)")
    ticket = wire.query(f"SELECT count(*) AS n, now() AS at FROM {schema}.t").ticket
    first = wire.table(ticket)
    wire.update(f"INSERT INTO {schema}.t VALUES (11)")
    time.sleep(0.05)
    assert wire.table(ticket).equals(first)
    assert first["n"].to_pylist() == [10]


def test_adbc_22_incremental_execution_polls_until_done(login):
    with login().cursor() as cursor:
        cursor.adbc_statement.set_options(**{StatementOptions.INCREMENTAL.value: "true"})
        partitions, rounds = [], 0
        while True:
            found, _ = cursor.adbc_execute_partitions(SQL)
            rounds += 1
            assert rounds < 50
            if not found:
                break
            partitions += found
        assert len(partitions) == 1
    with login().cursor() as cursor:
        cursor.adbc_read_partition(partitions[0])
        assert cursor.fetch_arrow_table().num_rows == 1000


def test_adbc_22_poll_flight_info_always_has_info_and_progress_between_0_and_1(wire):
    import struct

    request, seen = descriptor(command("CommandStatementQuery", {1: SQL})), []
    for _ in range(100):
        poll = decode(wire.unary("PollFlightInfo", request))
        assert 1 in poll, "no info"
        seen = [decode(e)[1][0] for e in decode(poll[1][0]).get(3, [])] if not seen else seen
        if 3 in poll:
            (progress,) = struct.unpack("<d", poll[3][0])
            assert 0 <= progress <= 1
        if 2 not in poll:
            break
        request = poll[2][0]
    else:
        raise AssertionError("never done")
    assert wire.table(Info(poll[1][0]).ticket).num_rows == 1000


def test_adbc_23_an_endpoint_names_no_place_that_a_client_could_not_dial(wire, cursor):
    for sql in (SQL, "SHOW SCHEMAS"):
        info = wire.query(sql)
        assert len(info.endpoints) == 1
        assert all(place.startswith("arrow-flight-reuse-connection://") for place in info.locations), info.locations
    cursor.execute(SQL)
    assert cursor.fetch_arrow_table().num_rows == 1000


def test_p16_a_ticket_lives_ten_minutes_at_least_and_is_read_many_times(wire):
    info = wire.query(SQL)
    assert info.expires - time.time() > 590
    assert [wire.table(info.ticket).num_rows for _ in range(3)] == [1000] * 3


def test_p16_a_metadata_ticket_is_the_command_itself_or_reads_as_often(wire):
    info = wire.info(command("CommandGetTableTypes"))
    assert wire.table(info.ticket).equals(wire.table(info.ticket))
    packed = decode(command("CommandGetTableTypes"))
    assert wire.table(command("CommandGetTableTypes")).num_rows > 0 and packed[1]


def test_p16_renewing_an_endpoint_keeps_it_readable(wire):
    info = wire.query(SQL)
    endpoint = decode(wire.unary("GetFlightInfo", descriptor(command("CommandStatementQuery", {1: SQL}))))[3][0]
    try:
        (renewed,) = wire.action("RenewFlightEndpoint", encode({1: endpoint}))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        return
    assert decode(renewed)[1] and wire.table(info.ticket).num_rows == 1000


def test_p16_forged_and_altered_tickets_are_refused(wire):
    ticket = wire.query(SQL).ticket
    forged = [b"", b"\x00", b"x" * 100, ticket[:-1], ticket + b"x"]
    forged += [ticket[:i] + bytes([ticket[i] ^ 0x10]) + ticket[i + 1 :] for i in range(60, len(ticket), 17)]
    for bad in forged:
        with pytest.raises(grpc.RpcError) as caught:
            wire.frames(bad)
        assert caught.value.code().name in ("PERMISSION_DENIED", "INVALID_ARGUMENT", "NOT_FOUND"), caught.value
    assert isinstance(wire.table(ticket), pa.Table)
