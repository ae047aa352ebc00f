"""ADBC: who somebody is: passwords, tokens, TLS and client certificates (ADBC-01 to ADBC-04)."""

import adbc_driver_flightsql.dbapi as flight_sql
import grpc
import pytest
from adbc_driver_manager import AdbcStatusCode

from configurations import ADMIN, READER, USERS, WRITER
from wire import Wire

OPTION = "adbc.flight.sql.client_option."


def connected(uri, **options):
    with flight_sql.connect(uri, db_kwargs=options, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,)


def refused(status, uri, **options):
    with pytest.raises(flight_sql.Error) as caught:
        connected(uri, **options)
    assert caught.value.status_code == status, caught.value
    return str(caught.value)


@pytest.mark.parametrize("user", USERS)
def test_adbc_01_a_password_is_exchanged_for_a_token(password_server, user):
    assert connected(password_server.uri, username=user, password=USERS[user])


@pytest.mark.parametrize(("user", "password"), [(ADMIN, "wrong"), ("nobody", "secret-ada12"), (ADMIN, ""), ("", "x")])
def test_adbc_01_a_bad_login_is_unauthenticated(password_server, user, password):
    message = refused(AdbcStatusCode.UNAUTHENTICATED, password_server.uri, username=user, password=password)
    assert "secret" not in message


def test_adbc_01_known_and_unknown_users_are_refused_in_the_same_words(password_server):
    first = refused(AdbcStatusCode.UNAUTHENTICATED, password_server.uri, username=ADMIN, password="wrong")
    second = refused(AdbcStatusCode.UNAUTHENTICATED, password_server.uri, username="nobody", password="wrong")
    assert first.replace(ADMIN, "…") == second.replace("nobody", "…")


def test_adbc_01_the_token_comes_in_the_headers_and_differs_each_time(password_server):
    with Wire(password_server) as wire:
        first, second = (wire.token(ADMIN, USERS[ADMIN]) for _ in range(2))
    assert first.startswith("Bearer ") and first != second and USERS[ADMIN] not in first


def test_adbc_02_a_token_as_header_needs_no_handshake(password_server):
    with Wire(password_server) as wire:
        token = wire.token(WRITER, USERS[WRITER])
    assert connected(password_server.uri, **{"adbc.flight.sql.authorization_header": token})
    for bad in ("Bearer nonsense", token[:-4] + "AAAA", "Basic !!!", ""):
        options = {"adbc.flight.sql.authorization_header": bad} if bad else {}
        refused(AdbcStatusCode.UNAUTHENTICATED, password_server.uri, **options)


def test_adbc_03_without_credentials_the_first_call_is_unauthenticated(password_server):
    message = refused(AdbcStatusCode.UNAUTHENTICATED, password_server.uri)
    assert "log in" in message.lower() or "credential" in message.lower() or "password" in message.lower()


def test_adbc_04_tls_with_our_authority(tls_server, certificates):
    login = {"username": READER, "password": USERS[READER]}
    root = certificates.authority.read_text()
    assert tls_server.uri.startswith("grpc+tls://")
    assert connected(tls_server.uri, **login, **{OPTION + "tls_root_certs": root})
    assert connected(f"flightsql://{tls_server.address}", **login, **{OPTION + "tls_root_certs": root})
    assert connected(tls_server.uri, **login, **{OPTION + "tls_skip_verify": "true"})
    named = {OPTION + "tls_root_certs": root, OPTION + "tls_override_hostname": "localhost"}
    assert connected(tls_server.uri, **login, **named)


def test_adbc_04_an_unknown_authority_and_plain_text_are_refused(tls_server):
    login = {"username": READER, "password": USERS[READER]}
    for uri in (tls_server.uri, f"grpc://{tls_server.address}"):
        with pytest.raises(flight_sql.Error):
            connected(uri, **login)


def test_adbc_04_plain_text_by_flightsql_with_a_transport(open_server):
    assert connected(f"flightsql://{open_server.address}?transport=tcp")
    assert connected(f"grpc+tcp://{open_server.address}")


def test_adbc_04_alpn_is_h2_and_no_client_certificate_is_asked_for(tls_server, certificates):
    import socket
    import ssl

    context = ssl.create_default_context(cafile=str(certificates.authority))
    context.set_alpn_protocols(["http/1.1", "h2"])
    host, port = tls_server.address.rsplit(":", 1)
    with context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname=host) as stream:
        assert stream.selected_alpn_protocol() == "h2"
        assert stream.version() in ("TLSv1.2", "TLSv1.3")


def test_adbc_04_a_client_certificate_is_who_one_is(mtls_server, certificates):
    root = {OPTION + "tls_root_certs": certificates.authority.read_text()}
    pair = {
        OPTION + "mtls_cert_chain": certificates.client_certificate.read_text(),
        OPTION + "mtls_private_key": certificates.client_key.read_text(),
    }
    assert connected(mtls_server.uri, **root, **pair)
    with pytest.raises(flight_sql.Error):
        connected(mtls_server.uri, **root)


def test_adbc_04_tls_by_the_grpc_of_c_as_well(tls_server, certificates):
    credentials = grpc.ssl_channel_credentials(certificates.authority.read_bytes())
    with Wire(tls_server, credentials=credentials) as wire:
        token = wire.token(READER, USERS[READER])
        assert wire.rows("SELECT 1 AS n", headers=[("authorization", token)])["n"].to_pylist() == [1]


def test_adbc_30_what_a_reader_may_not_is_permission_denied(login):
    with login(READER).cursor() as cursor, pytest.raises(flight_sql.Error) as caught:
        cursor.execute("CREATE SCHEMA not_for_eve")
    assert caught.value.status_code == AdbcStatusCode.UNAUTHORIZED, caught.value
