"""ADBC with the tokens of an identity provider, as a header and by OAuth (ADBC-02)."""

import base64
import http.server
import json
import threading
import time

import adbc_driver_flightsql.dbapi as flight_sql
import jwt
import pytest
from adbc_driver_manager import AdbcStatusCode
from cryptography.hazmat.primitives.asymmetric import ec

from configurations import ADMIN, AUDIENCE, ISSUER, READER

OPTION = "adbc.flight.sql."


def claims(**changed):
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": ADMIN, "iat": now, "exp": now + 600} | changed


def signed(certificates, algorithm="ES256", key=None, **changed):
    return jwt.encode(claims(**changed), key or certificates.jwt_key, algorithm=algorithm)


def select_one(server, certificates, **options):
    options |= {OPTION + "client_option.tls_root_certs": certificates.authority.read_text()}
    with flight_sql.connect(server.uri, db_kwargs=options, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone()


def test_adbc_02_a_jwt_as_header_is_validated_on_every_call(tls_server, certificates):
    header = {OPTION + "authorization_header": "Bearer " + signed(certificates)}
    assert select_one(tls_server, certificates, **header) == (1,)


def unsigned():
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}."


def by_the_public_key(certificates):
    """HS256 with the public key as the secret, which a careless verifier takes."""
    import hashlib
    import hmac

    def part(value):
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + "." + part(json.dumps(claims()).encode())
    mac = hmac.new(certificates.jwt_public_key.read_bytes(), head.encode(), hashlib.sha256).digest()
    return head + "." + part(mac)


BAD = {
    "expired": lambda c: signed(c, exp=int(time.time()) - 300),
    "not yet valid": lambda c: signed(c, nbf=int(time.time()) + 300),
    "for somebody else": lambda c: signed(c, aud="other"),
    "by another issuer": lambda c: signed(c, iss="https://other.test"),
    "by another key": lambda c: signed(c, key=ec.generate_private_key(ec.SECP256R1())),
    "unsigned": lambda c: unsigned(),
    "by the public key": by_the_public_key,
    "garbled": lambda c: signed(c)[:-6] + "AAAAAA",
    "an unknown user": lambda c: signed(c, sub="stranger"),
}


@pytest.mark.parametrize("why", BAD)
def test_adbc_02_a_bad_jwt_is_refused(tls_server, certificates, why):
    token = BAD[why](certificates)
    with pytest.raises(flight_sql.Error) as caught:
        select_one(tls_server, certificates, **{OPTION + "authorization_header": "Bearer " + token})
    allowed = {AdbcStatusCode.UNAUTHENTICATED}
    if why == "an unknown user":
        allowed.add(AdbcStatusCode.UNAUTHORIZED)
    assert caught.value.status_code in allowed, caught.value
    assert token not in str(caught.value)


class Provider(http.server.BaseHTTPRequestHandler):
    """The token endpoint of an identity provider."""

    def do_POST(self):
        form = self.rfile.read(int(self.headers["content-length"])).decode()
        assert "grant_type=client_credentials" in form
        answer = {"access_token": self.server.token, "token_type": "Bearer", "expires_in": 600}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_adbc_02_oauth_client_credentials(tls_server, certificates):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider) as provider:
        provider.token = signed(certificates, sub=READER)
        threading.Thread(target=provider.serve_forever, daemon=True).start()
        options = {
            OPTION + "oauth.flow": "client_credentials",
            OPTION + "oauth.token_uri": f"http://127.0.0.1:{provider.server_port}/token",
            OPTION + "oauth.client_id": "notebook",
            OPTION + "oauth.client_secret": "provider-secret",
        }
        assert select_one(tls_server, certificates, **options) == (1,)
        provider.shutdown()
