"""What SQL may name on a server, over the wire: nothing outside of the warehouse (reliability G5; issue 4, acceptance 6)."""

import itertools

import grpc
import pytest

from server import Server
from wire import Wire

CANARY = "canary-bytes"
# `{place}` lies outside; `{n}` is another name each time.
STATEMENTS = [
    "SELECT * FROM read_csv('{place}')",
    "SELECT * FROM read_parquet('{place}')",
    "SELECT * FROM read_json('{place}')",
    "COPY (SELECT 1 AS a) TO '{place}-{n}.parquet'",
    "CREATE TABLE s.a{n} (a int) LOCATION '{place}'",
    "CREATE TABLE s.b{n} WITH (location = '{place}') AS SELECT 1 AS a",
    "CREATE SCHEMA c{n} WITH (location = '{place}')",
    "CALL iceberg.system.register_table('s.d{n}', '{place}')",
    "CREATE TABLE s.e{n} WITH (\"write.data.path\" = '{place}') AS SELECT 1 AS a",
    "CREATE TABLE s.f{n} WITH (\"write.metadata.path\" = '{place}') AS SELECT 1 AS a",
    "CREATE TABLE s.g{n} (a int); ALTER TABLE s.g{n} SET TBLPROPERTIES ('write.data.path' = '{place}'); INSERT INTO s.g{n} VALUES (1)",
]


@pytest.fixture
def places(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary.csv").write_text(f"a\n{CANARY}\n")
    data = tmp_path / "server/data"
    return outside, [
        f"{outside}/canary.csv", f"file://{outside}/canary.csv", f"{outside}", f"{outside}/new", f"{outside}/%2e%2e/x",
        f"{data}/catalog.db", f"{data}/warehouse/../catalog.db", f"{data}/warehouse/../../../outside/canary.csv", f"{data}/seal.key",
        "/etc/passwd", "file:///etc/passwd", "/proc/self/environ", "s3://other/x", "s3a://other/x", "gs://other/x",
        "http://169.254.169.254/latest/meta-data", "http://127.0.0.1:1/x", "\\\\\\\\host\\\\share", "../outside/canary.csv",
    ]


def test_g5_no_statement_over_the_wire_reaches_a_byte_outside(tmp_path, places):
    outside, places = places
    server = Server(tmp_path / "server")
    tried = denied = 0
    try:
        with Wire(server) as wire:
            wire.update("CREATE SCHEMA s")
            # Inside, the same statements do something.
            inside = f"{server.folder}/data/warehouse/s/inside"
            for statement in STATEMENTS[4:6]:
                wire.update(statement.replace("{n}", "_control").replace("{place}", inside + statement[15]))
            for n, (statement, place) in enumerate(itertools.product(STATEMENTS, places)):
                sql = statement.replace("{n}", str(n)).replace("{place}", place)
                tried += 1
                with pytest.raises(grpc.RpcError) as refused:
                    wire.update(sql) if not sql.startswith("SELECT") else wire.rows(sql)
                details = refused.value.details()
                assert CANARY not in details and "root:" not in details, (sql, details)
                assert refused.value.code() != grpc.StatusCode.INTERNAL, (sql, details)
                denied += refused.value.code() == grpc.StatusCode.PERMISSION_DENIED or "not honoured" in details
    finally:
        server.stop()
    assert tried >= 200
    # The rest is malformed, and refused as that.
    assert denied >= tried * 3 // 4, (denied, tried)
    assert [file.name for file in outside.iterdir()] == ["canary.csv"]
    assert (outside / "canary.csv").read_text() == f"a\n{CANARY}\n"
    print(f"measured: {tried} tries over the wire, none reached a byte outside")
