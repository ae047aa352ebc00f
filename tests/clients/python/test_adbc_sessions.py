"""ADBC: sessions, their options, cookies and headers (ADBC-16 to ADBC-18, ADBC-26 to ADBC-28, ADBC-31)."""

import time

import adbc_driver_flightsql.dbapi as flight_sql
import grpc
import pytest

from configurations import ADMIN, USERS
from wire import Wire, command, encode

INVALID_NAME, INVALID_VALUE = 1, 2


@pytest.fixture
def session(password_server):
    """Raw calls under a token of their own."""
    with Wire(password_server) as wire:
        wire.headers = [("authorization", wire.token(ADMIN, USERS[ADMIN]))]
        yield wire


@pytest.fixture
def private(login):
    """A schema on the password server."""
    name = f"p{time.time_ns() % 1_000_000_000}"
    with login().cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {name}")
        cursor.execute(f"CREATE TABLE {name}.here (id bigint)")
    return name


def test_adbc_16_the_current_catalog_and_schema_are_told(connection):
    assert connection.adbc_current_catalog == "iceberg"
    assert connection.adbc_current_db_schema == "default"


def test_adbc_17_a_schema_that_is_set_is_used(login, private):
    connection = login()
    connection.adbc_current_db_schema = private
    assert connection.adbc_current_db_schema == private
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM here")
        assert cursor.fetchone() == (0,)


def test_adbc_17_session_options_of_every_type_are_judged_one_by_one(session, private):
    errors = session.set_session_options(
        {
            "catalog": {1: "iceberg"},
            "schema": {1: private},
            "no_such_option": {1: "x"},
        }
    )
    assert errors == {"no_such_option": INVALID_NAME}
    assert session.session_options()["schema"] == private
    errors = session.set_session_options({"schema": {1: "no_such_schema"}, "catalog": {2: True}})
    assert errors == {"schema": INVALID_VALUE, "catalog": INVALID_VALUE}
    assert session.session_options()["schema"] == private


def test_adbc_17_a_value_of_none_erases(session, private):
    assert session.set_session_options({"schema": {1: private}}) == {}
    assert session.set_session_options({"schema": {}}) == {}
    assert session.session_options().get("schema", "default") == "default"


def test_adbc_18_commit_and_rollback_do_no_harm(cursor, connection, wire):
    cursor.execute("SELECT 1")
    cursor.fetchall()
    connection.commit()
    connection.rollback()
    cursor.execute("SELECT 2")
    assert cursor.fetchone() == (2,)
    with pytest.raises(grpc.RpcError) as caught:
        wire.action("EndTransaction", command("ActionEndTransactionRequest", {1: b"none", 2: 1}))
    assert caught.value.code().name in ("UNIMPLEMENTED", "NOT_FOUND", "INVALID_ARGUMENT")


def test_adbc_26_a_cookie_holds_a_session_where_nobody_logs_in(open_server, schema, wire):
    body = encode({1: [{1: "schema", 2: encode({1: schema})}]})
    _, headers = wire.action_with_headers("SetSessionOptions", body)
    cookies = [value for key, value in headers if key == "set-cookie"]
    assert cookies, headers
    pair = cookies[0].split(";")[0]
    assert "=" in pair
    assert wire.session_options(headers=[("cookie", pair)])["schema"] == schema
    assert wire.session_options()["schema"] == "default"


def test_adbc_26_the_driver_keeps_cookies_when_told_to(connection, cursor, schema):
    connection.adbc_current_db_schema = schema
    assert connection.adbc_current_db_schema == schema
    cursor.execute("CREATE TABLE beside (id bigint)")
    cursor.execute(f"SELECT count(*) FROM {schema}.beside")
    assert cursor.fetchone() == (0,)


def test_adbc_27_a_header_of_one_connection_changes_its_queries(open_server):
    def kind(profile):
        options = {"adbc.flight.sql.rpc.call_header.fjord-output-profile": profile}
        with flight_sql.connect(open_server.uri, db_kwargs=options, autocommit=True) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT CAST('2026-01-01 00:00:00' AS timestamp) AS t")
                return str(cursor.fetch_arrow_table().schema.field("t").type)

    assert kind("grafana") == "timestamp[ns]"
    assert kind("default") == "timestamp[us]" or kind("default") == "timestamp[ns]"
    with pytest.raises(flight_sql.Error, match="(?i)profile"):
        kind("nonsense")


def test_adbc_27_a_header_of_one_statement(open_server):
    with flight_sql.connect(open_server.uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.flight.sql.rpc.call_header.fjord-output-profile": "grafana"})
        cursor.execute("SELECT CAST(1.5 AS decimal(10, 2)) AS d")
        assert str(cursor.fetch_arrow_table().schema.field("d").type) == "double"


def test_adbc_28_close_ends_the_session(session):
    assert session.rows("SELECT 1 AS n")["n"].to_pylist() == [1]
    (status,) = session.action("CloseSession")
    assert status in (encode({1: 1}), encode({1: 2}))
    with pytest.raises(grpc.RpcError) as caught:
        session.rows("SELECT 1 AS n")
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_adbc_28_the_driver_closes_and_opens_again(login):
    for _ in range(3):
        connection = login()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
        connection.close()


def test_adbc_31_the_client_is_known_by_its_user_agent(connection, cursor):
    cursor.execute("SELECT 'user agent probe'")
    cursor.fetchall()
    cursor.execute("SELECT * FROM system.queries WHERE text LIKE '%user agent probe%'")
    found = cursor.fetch_arrow_table().to_pylist()
    assert any("ADBC Flight SQL Driver" in str(value) for row in found for value in row.values()), found
