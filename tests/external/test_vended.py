"""Credentials that a catalog vends: keys for one table's prefix, that expire and are given anew.

A proxy before the REST server of `tests/counterparts/run --with rest` adds them to what it answers, as servers do that have
such; skipped without. The configuration of Fjord knows no key of the bucket.
"""

import json
import os
import threading
import time

import pytest

from fault_rest import FaultRest
from test_many_tables import Rest, s3

URI = os.environ.get("FJORD_TEST_REST_URI")
pytestmark = pytest.mark.skipif(URI is None, reason="no REST server: run under tests/counterparts/run --with rest")


class Vending(FaultRest):
    """Adds credentials to each loaded table; `keys` says which, and for how long."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.vended = []
        self.asked = []
        self.keys = lambda: {}

    def forward(self, request, body):
        status, kind, content = super().forward(request, body)
        is_staged = request.command == "POST" and b'"stage-create":true' in body and request.path.endswith("/tables")
        if status == 200 and (is_staged or (request.command == "GET" and "/tables/" in request.path)):
            answer = json.loads(content)
            if "metadata" not in answer:
                return status, kind, content
            self.asked.append(request.headers.get("X-Iceberg-Access-Delegation"))
            answer["storage-credentials"] = [{"prefix": answer["metadata"]["location"], "config": self.keys()}]
            self.vended.append(time.monotonic())
            content = json.dumps(answer).encode()
        return status, kind, content


def keys(seconds, key=None, secret=None):
    expires = int((time.time() + seconds) * 1000)
    return {
        "s3.access-key-id": key or s3("KEY"), "s3.secret-access-key": secret or s3("SECRET"),
        "s3.session-token-expires-at-ms": str(expires), "s3.endpoint": s3("ENDPOINT"), "s3.path-style-access": "true",
    }


class Fjord(Rest):
    def __init__(self, folder, uri, storage):
        super().__init__(folder)
        self.config.write_text(f"""
[catalog.rest]
type = "rest"
uri = "{uri}"
warehouse = "{os.environ['FJORD_TEST_REST_WAREHOUSE']}"
client_id = "{s3('KEY')}"
client_secret = {{ env = "FJORD_TEST_S3_SECRET" }}
vended_credentials = true
{storage}
""")


# The endpoint alone: whoever asks without vended keys is nobody.
PLACE = f"""
[storage.tables]
prefix = "s3://tables/"
endpoint = "{os.environ.get('FJORD_TEST_S3_ENDPOINT')}"
credentials = "anonymous"
"""


@pytest.fixture
def table(tmp_path):
    """A table with a row, made with keys from the configuration."""
    schema = f"vended_{time.time_ns() % 10**12}"
    owner = tmp_path / "owner"
    owner.mkdir()
    fjord = Rest(owner)
    fjord.rows(f"CREATE SCHEMA rest.{schema}; CREATE TABLE rest.{schema}.t (id bigint); INSERT INTO rest.{schema}.t VALUES (1); SELECT 1")
    return f"rest.{schema}.t"


def test_files_are_read_and_written_with_what_was_vended(tmp_path, table):
    proxy = Vending(URI)
    try:
        for name, storage in [("placed", PLACE), ("told", "")]:
            (tmp_path / name).mkdir()
            fjord = Fjord(tmp_path / name, proxy.uri, storage)
            proxy.keys = lambda: {}
            refused = fjord.run(f"SELECT id FROM {table}")
            assert refused.returncode == 1, "read without any credentials"
            proxy.keys = lambda: keys(3600)
            assert fjord.rows(f"SELECT id FROM {table} ORDER BY id")[0] == "1"
            fjord.rows(f"INSERT INTO {table} VALUES (2); SELECT 1")
            assert "2" in fjord.rows(f"SELECT id FROM {table}")
            assert set(proxy.asked) == {"vended-credentials"}
            proxy.keys = lambda: keys(3600, secret="wrong")
            wrong = fjord.run(f"SELECT id FROM {table}")
            assert wrong.returncode == 1 and s3("SECRET") not in wrong.stderr, wrong.stderr
    finally:
        proxy.close()


def test_a_table_is_made_with_what_is_vended_for_it(tmp_path, table):
    """The catalog says where it goes, and with which keys; those that end before the commit are asked for anew."""
    schema = table.rsplit(".", 1)[0]
    proxy = Vending(URI)
    try:
        for name, storage in [("placed", PLACE), ("told", "")]:
            (tmp_path / name).mkdir()
            fjord = Fjord(tmp_path / name, proxy.uri, storage)
            made = f"{schema}.made_{name}"
            proxy.keys = lambda: {}
            assert fjord.run(f"CREATE TABLE {made} AS SELECT 1 AS id").returncode == 1, "written without any credentials"
            given = iter([keys(-10, secret="over")])
            proxy.keys = lambda: next(given, keys(3600))
            fjord.rows(f"CREATE TABLE {made} AS SELECT 1 AS id; SELECT 1")
            fjord.rows(f"INSERT INTO {made} VALUES (2); SELECT 1")
            assert fjord.rows(f"SELECT count(*), sum(id) FROM {made}")[0] == "2,3"
            fjord.rows(f"CREATE TABLE {made}_empty (id bigint); INSERT INTO {made}_empty VALUES (7); SELECT 1")
            assert fjord.rows(f"SELECT id FROM {made}_empty")[0] == "7"
    finally:
        proxy.close()


def test_keys_that_end_are_asked_for_anew(tmp_path, table):
    proxy = Vending(URI)
    try:
        fjord = Fjord(tmp_path, proxy.uri, PLACE)
        # What is over already is of no use, and what is given in its place is used.
        given = iter([keys(-10, secret="over")])
        proxy.keys = lambda: next(given, keys(3600))
        assert fjord.rows(f"SELECT id FROM {table} ORDER BY id")[0] == "1"
        assert len(proxy.vended) == 2, "the table was loaded once, and its keys once more"
        # None is given any more.
        given = iter([keys(-10, secret="over")])
        proxy.keys = lambda: next(given, {})
        done = fjord.run(f"SELECT id FROM {table}")
        assert done.returncode == 1 and "vends no credentials" in done.stderr, done.stderr
    finally:
        proxy.close()


def test_d5_an_endpoint_elsewhere_is_not_followed(tmp_path, table):
    hits = []
    import http.server

    class Trap(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)
            self.send_response(500)
            self.end_headers()

        do_HEAD = do_PUT = do_POST = do_GET

        def log_message(self, *_):
            pass

    trap = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Trap)
    threading.Thread(target=trap.serve_forever, daemon=True).start()
    proxy = Vending(URI)
    try:
        fjord = Fjord(tmp_path, proxy.uri, "")
        proxy.keys = lambda: {**keys(3600), "s3.endpoint": f"http://127.0.0.2:{trap.server_address[1]}"}
        done = fjord.run(f"SELECT id FROM {table}")
        assert done.returncode == 1 and "another server" in done.stderr, done.stderr
        assert not hits
    finally:
        proxy.close()
        trap.shutdown()
