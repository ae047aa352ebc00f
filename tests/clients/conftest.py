"""Servers in four configurations, each started at its first use, and what tests need on them."""

import itertools
import time

import adbc_driver_flightsql.dbapi as flight_sql
import pytest

from configurations import ADMIN, USERS, Certificates, jwt_config, mtls_config, password_config, tls_config
from server import Server
from wire import Wire

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def open_server(tmp_path_factory):
    """On loopback, nobody has to say who he is."""
    server = Server(tmp_path_factory.mktemp("open"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def password_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("password")
    server = Server(folder, password_config(folder))
    yield server
    server.stop(USERS.values())


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory, certificates):
    folder = tmp_path_factory.mktemp("tls")
    server = Server(folder, password_config(folder) + jwt_config(certificates) + tls_config(certificates))
    yield server
    server.stop(USERS.values())


@pytest.fixture(scope="session")
def mtls_server(tmp_path_factory, certificates):
    folder = tmp_path_factory.mktemp("mtls")
    server = Server(folder, password_config(folder) + mtls_config(certificates))
    yield server
    server.stop(USERS.values())


@pytest.fixture
def schema(open_server):
    """A new schema on the open server."""
    name = f"s{next(numbers)}_{time.time_ns() % 1_000_000}"
    with Wire(open_server) as wire:
        wire.update(f"CREATE SCHEMA {name}")
    return name


@pytest.fixture
def wire(open_server):
    with Wire(open_server) as wire:
        yield wire


@pytest.fixture
def connection(open_server):
    """ADBC on the open server, cookies kept, so that it has a session."""
    options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with flight_sql.connect(open_server.uri, db_kwargs=options, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cursor(connection):
    with connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def login(password_server):
    """Makes logged-in ADBC connections; they are closed at the end."""
    opened = []

    def connect(user=ADMIN, password=None, **options):
        db = {"username": user, "password": USERS.get(user, "") if password is None else password, **options}
        opened.append(flight_sql.connect(password_server.uri, db_kwargs=db, autocommit=True))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()
