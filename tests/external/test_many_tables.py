"""Listing 10,000 tables in 100 schemas of servers: names alone are read, and no table is loaded.

Needs the servers of `tests/counterparts/run --with nessie,rest`; skipped without. `FJORD_REST_TABLES` (default 1,000) is how
many tables the REST server gets, which makes one at a time; Nessie gets all of them in a few commits.
"""

import datetime as dt
import json
import os
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from test_nessie import Fjord, s3

SCHEMAS = 100
TABLES = 10_000
REST_TABLES = int(os.environ.get("FJORD_REST_TABLES", "1000"))
OPERATIONS_MAX = 2_500
# Servers outlive a run.
MANY = f"many{os.getpid()}"
# Per listing, once warm: what was promised.
SECONDS_MAX = 1.0
REPEATS = 3
# The REST protocol takes three requests for each schema; the test's server, on a busy machine, a few milliseconds each.
REST_SECONDS_MAX = 4.0


def call(url, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=120) as answer:
        return json.load(answer)


def names(tables):
    return [(f"{MANY}_{n % SCHEMAS:03}", f"t_{n // SCHEMAS:03}") for n in range(tables)]


def fill_nessie(branch):
    """Every table in a few commits, on a branch of its own: whose metadata files are nowhere."""
    api = os.environ["FJORD_TEST_NESSIE_API"]
    main = call(f"{api}/trees/main")["reference"]
    head = call(f"{api}/trees?name={branch}&type=BRANCH", {"type": "BRANCH", "name": "main", "hash": main["hash"]})["reference"]
    operations = [
        {"type": "PUT", "key": {"elements": [f"{MANY}_{n:03}"]}, "content": {"type": "NAMESPACE", "elements": [f"{MANY}_{n:03}"], "properties": {}}}
        for n in range(SCHEMAS)
    ] + [
        {"type": "PUT", "key": {"elements": [schema, table]}, "content": {
            "type": "ICEBERG_TABLE", "metadataLocation": f"s3://nowhere/{schema}/{table}.metadata.json",
            "snapshotId": -1, "schemaId": 0, "specId": 0, "sortOrderId": 0}}
        for schema, table in names(TABLES)
    ]
    for start in range(0, len(operations), OPERATIONS_MAX):
        body = {"commitMeta": {"message": "many tables"}, "operations": operations[start:start + OPERATIONS_MAX]}
        answer = call(f"{api}/trees/{branch}@{head['hash']}/history/commit", body)
        head = answer["targetBranch"]


def seconds(fjord, prelude, statement):
    """How long a statement takes after it has run once, in one process: the least of a few, as other processes may take the cores."""
    clock = "SELECT CAST(now() AS varchar) AS at;"
    done = fjord.run(f"{prelude} {statement}; {clock}" + f" {statement}; {clock}" * REPEATS)
    assert done.returncode == 0, done.stderr
    times = [dt.datetime.fromisoformat(line.strip('"').replace("Z", "+00:00")) for line in done.stdout.splitlines() if line.strip('"').startswith("20") and ":" in line]
    assert len(times) == REPEATS + 1, done.stdout[-500:]
    return min((after - before).total_seconds() for before, after in zip(times, times[1:]))


def check(fjord, kind, catalog, tables, seconds_max=SECONDS_MAX, prelude=""):
    out = fjord.rows(f"{prelude} SELECT count(*) FROM {catalog}.information_schema.tables WHERE table_schema LIKE '{MANY}\\_%'")
    assert out == [str(tables)], out
    shown = fjord.rows(f"{prelude} SHOW TABLES FROM {catalog}.{MANY}_042")
    assert len(shown) == tables // SCHEMAS
    took = {
        "SHOW TABLES": seconds(fjord, prelude, f"SHOW TABLES FROM {catalog}.{MANY}_042"),
        "SHOW SCHEMAS": seconds(fjord, prelude, f"SHOW SCHEMAS FROM {catalog}"),
        "information_schema.tables": seconds(fjord, prelude, f"SELECT count(*) FROM {catalog}.information_schema.tables"),
    }
    for what, time in took.items():
        print(f"measured: {kind}: {what} with {tables} tables in {SCHEMAS} schemas: {time:.3f} s")
    assert max(took.values()) <= seconds_max, took


@pytest.mark.skipif("FJORD_TEST_NESSIE_URI" not in os.environ, reason="no Nessie: run under tests/counterparts/run --with nessie")
def test_acceptance_8_ten_thousand_tables_of_nessie(tmp_path):
    fill_nessie(MANY)
    fjord = Fjord(tmp_path, os.environ["FJORD_TEST_NESSIE_URI"], MANY)
    check(fjord, "Nessie", "nessie", TABLES)


class Rest(Fjord):
    """`fjord sql` on the catalog `rest`."""

    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "fjord.toml"
        self.config.write_text(f"""
[catalog.rest]
type = "rest"
uri = "{os.environ['FJORD_TEST_REST_URI']}"
warehouse = "{os.environ['FJORD_TEST_REST_WAREHOUSE']}"
client_id = "{s3('KEY')}"
client_secret = {{ env = "FJORD_TEST_S3_SECRET" }}
[storage.tables]
prefix = "s3://tables/"
endpoint = "{s3('ENDPOINT')}"
access_key_id = {{ env = "FJORD_TEST_S3_KEY" }}
secret_access_key = {{ env = "FJORD_TEST_S3_SECRET" }}
""")
        self.config.chmod(0o600)


def rest_token(uri):
    body = f"grant_type=client_credentials&client_id={s3('KEY')}&client_secret={s3('SECRET')}&scope=catalog".encode()
    with urllib.request.urlopen(f"{uri}/v1/oauth/tokens", body, timeout=30) as answer:
        return json.load(answer)["access_token"]


def fill_rest(uri):
    token = rest_token(uri)
    config = call(f"{uri}/v1/config?warehouse={os.environ['FJORD_TEST_REST_WAREHOUSE']}", token=token)
    prefix = config.get("overrides", {}).get("prefix") or config.get("defaults", {}).get("prefix") or ""
    root = "/".join(part for part in (f"{uri}/v1", prefix) if part)
    schema = {"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "id", "required": False, "type": "long"}]}
    for n in range(SCHEMAS):
        call(f"{root}/namespaces", {"namespace": [f"{MANY}_{n:03}"]}, token)
    make = lambda name: call(f"{root}/namespaces/{name[0]}/tables", {"name": name[1], "schema": schema, "stage-create": False}, token)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, names(REST_TABLES)))


@pytest.mark.skipif("FJORD_TEST_REST_URI" not in os.environ, reason="no REST server: run under tests/counterparts/run --with rest")
def test_acceptance_8_many_tables_of_a_rest_server(tmp_path):
    fill_rest(os.environ["FJORD_TEST_REST_URI"])
    check(Rest(tmp_path), "REST (SeaweedFS)", "rest", REST_TABLES, REST_SECONDS_MAX)
