"""Fjord as a co-writer on a real Nessie: what PyIceberg reads and writes beside it, and commits that go wrong.

Needs the servers of `tests/counterparts/run --with nessie`; skipped without. `FJORD_FAULTS` (default 3) is how often each
fault befalls a commit, `FJORD_COWRITES` (default 40) how often each writer appends.
"""

import json
import os
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from fault_rest import MODES, FaultRest

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("FJORD_BIN", str(ROOT / "target/debug/fjord"))
URI = os.environ.get("FJORD_TEST_NESSIE_URI")
FAULTS = int(os.environ.get("FJORD_FAULTS", "3"))
COWRITES = int(os.environ.get("FJORD_COWRITES", "40"))

pytestmark = pytest.mark.skipif(URI is None, reason="no Nessie: run under tests/counterparts/run --with nessie")


def s3(name):
    return os.environ[f"FJORD_TEST_S3_{name}"]


class Fjord:
    """`fjord sql` on the catalog `nessie` at `uri`."""

    def __init__(self, folder, uri, reference=None):
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        at = f'reference = "{reference}"\n' if reference else ""
        config = f"""
[catalog.nessie]
type = "rest"
uri = "{uri}"
warehouse = "warehouse"
{at}
[storage.lake]
prefix = "s3://{s3('BUCKET')}/"
endpoint = "{s3('ENDPOINT')}"
access_key_id = {{ env = "FJORD_TEST_S3_KEY" }}
secret_access_key = {{ env = "FJORD_TEST_S3_SECRET" }}
"""
        self.config = folder / "fjord.toml"
        self.config.write_text(config)
        self.config.chmod(0o600)

    def run(self, sql):
        command = [BINARY, "sql", "--config", self.config, "--data-dir", self.folder / "data", "--format", "csv", "-c", sql]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    def rows(self, sql):
        done = self.run(sql)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[1:]


@pytest.fixture(scope="module")
def pyiceberg():
    rest = pytest.importorskip("pyiceberg.catalog.rest")
    return rest.RestCatalog(
        "nessie",
        uri=URI,
        **{"s3.endpoint": s3("ENDPOINT"), "s3.access-key-id": s3("KEY"), "s3.secret-access-key": s3("SECRET"), "s3.region": "us-east-1"},
    )


@pytest.fixture
def schema():
    return f"s{time.time_ns() % 10**12}"


def ids_of(pyiceberg, name):
    return sorted(pyiceberg.load_table(name).scan(selected_fields=("id",)).to_arrow()["id"].to_pylist())


def test_pyiceberg_and_fjord_read_each_other(tmp_path, pyiceberg, schema):
    fjord = Fjord(tmp_path, URI)
    fjord.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE nessie.{schema}.t (id bigint, s varchar); INSERT INTO nessie.{schema}.t VALUES (1, 'ours'); SELECT 1")
    table = pyiceberg.load_table(f"{schema}.t")
    table.append(pa.table({"id": pa.array([2], pa.int64()), "s": ["theirs"]}))
    assert fjord.rows(f"SELECT id, s FROM nessie.{schema}.t ORDER BY id") == ["1,ours", "2,theirs"]
    assert ids_of(pyiceberg, f"{schema}.t") == [1, 2]


def test_specs_and_schemas_that_fjord_evolves_are_read_by_both(tmp_path, pyiceberg, schema):
    """Hazard: Nessie answers 500 to a partition field without an id, and the outcome of the commit is unknown."""
    fjord, table = Fjord(tmp_path, URI), f"nessie.{schema}.t"
    fjord.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE {table} (id bigint, s varchar, d date); SELECT 1")
    changes = [
        "ADD PARTITION FIELD bucket(4, id)",
        "ADD PARTITION FIELD truncate(2, s)",
        "ADD PARTITION FIELD month(d)",
        "DROP PARTITION FIELD bucket(4, id)",
        "ADD PARTITION FIELD bucket(4, id)",
        "REPLACE PARTITION FIELD bucket(4, id) WITH s",
        "ADD COLUMN x int",
        "ALTER COLUMN x TYPE bigint",
        "ADD COLUMN st struct(a int, b varchar)",
        "RENAME COLUMN s TO r",
        "WRITE ORDERED BY id",
        "WRITE UNORDERED",
        "WRITE ORDERED BY id, r",
        "DROP COLUMN x",
    ]
    fjord.rows(f"INSERT INTO {table} (id, s, d) VALUES (0, 'row0', date '2024-01-15'); SELECT 1")
    name = "s"
    for at, change in enumerate(changes, 1):
        fjord.rows(f"ALTER TABLE {table} {change}; SELECT 1")
        name = "r" if change.startswith("RENAME") else name
        fjord.rows(f"INSERT INTO {table} (id, {name}, d) VALUES ({at}, 'row{at}', date '2024-{1 + at % 12:02}-15'); SELECT 1")
    count = len(changes) + 1
    expected = [f"{at},row{at},2024-{1 + at % 12:02}-15" for at in range(count)]
    assert fjord.rows(f"SELECT id, r, d FROM {table} ORDER BY id") == expected
    theirs = pyiceberg.load_table(f"{schema}.t")
    assert ids_of(pyiceberg, f"{schema}.t") == list(range(count))
    assert {field.name for field in theirs.spec().fields} == {"s_trunc", "d_month", "s"}
    assert len({str(spec.fields) for spec in theirs.specs().values()}) == len(theirs.specs()), "a spec twice"
    assert len({field.field_id for spec in theirs.specs().values() for field in spec.fields}) == 4
    # A filter finds the rows of every spec, and both agree.
    found = theirs.scan(row_filter="r = 'row3'", selected_fields=("id",)).to_arrow()["id"].to_pylist()
    assert found == [3] and fjord.rows(f"SELECT id FROM {table} WHERE r = 'row3'") == ["3"]

    fjord.rows(f"CREATE OR REPLACE TABLE {table} PARTITIONED BY (bucket(3, id)) AS SELECT 7 AS id; SELECT 1")
    assert ids_of(pyiceberg, f"{schema}.t") == [7]

    # Back to what the table was before: Nessie adds nothing that it has already.
    back = f"nessie.{schema}.back"
    fjord.rows(f"CREATE TABLE {back} (id bigint, v int); SELECT 1")
    for change in ("ADD COLUMN x int", "DROP COLUMN x", "RENAME COLUMN v TO w", "RENAME COLUMN w TO v", "WRITE ORDERED BY id",
                   "WRITE ORDERED BY v", "WRITE ORDERED BY id", "WRITE UNORDERED", "WRITE ORDERED BY v"):
        fjord.rows(f"ALTER TABLE {back} {change}; SELECT 1")
    for columns in ("id bigint", "id bigint, v int", "id bigint"):
        fjord.rows(f"CREATE OR REPLACE TABLE {back} ({columns}); SELECT 1")
    fjord.rows(f"INSERT INTO {back} VALUES (1); SELECT 1")
    assert ids_of(pyiceberg, f"{schema}.back") == [1]

    # What this server cannot do is said as that, and nothing is left open.
    refused = fjord.run(f"ALTER TABLE {table} SET PROPERTIES format_version = 3").stderr
    assert "format version" in refused and "unknown" not in refused, refused
    missing = fjord.run(f'SELECT * FROM nessie.{schema}."t@nosuch"').stderr
    assert "'nosuch' not found" in missing, missing


def test_first_commits_of_two_writers_are_both_kept(tmp_path, pyiceberg, schema):
    """Hazard: Nessie takes two commits that both say that there is no snapshot yet; the first one's rows are gone."""
    fjord = Fjord(tmp_path, URI)
    fjord.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE nessie.{schema}.t (id bigint); SELECT 1")
    stale = pyiceberg.load_table(f"{schema}.t")
    assert stale.current_snapshot() is not None, "a new table has no snapshot that could be asserted"
    fjord.rows(f"INSERT INTO nessie.{schema}.t VALUES (1); SELECT 1")
    try:
        stale.append(pa.table({"id": pa.array([2], pa.int64())}))
        expected = [1, 2]
    except Exception:  # noqa: BLE001 - refused, by whomever: it was not acknowledged
        expected = [1]
    assert ids_of(pyiceberg, f"{schema}.t") == expected


def test_acceptance_5_no_acknowledged_commit_of_either_writer_is_lost(tmp_path, pyiceberg, schema):
    fjord = Fjord(tmp_path, URI)
    fjord.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE nessie.{schema}.t (id bigint, part varchar) PARTITIONED BY (part); SELECT 1")
    name, theirs, errors = f"{schema}.t", [], []

    def append():
        for i in range(COWRITES):
            row = pa.table({"id": pa.array([1_000_000 + i], pa.int64()), "part": ["p"]})
            for _ in range(200):
                try:
                    pyiceberg.load_table(name).append(row)
                    theirs.append(1_000_000 + i)
                    break
                except Exception as error:  # noqa: BLE001 - lost races are tried again
                    errors.append(str(error))

    writer = threading.Thread(target=append)
    writer.start()
    ours = []
    for i in range(COWRITES):
        if i % 4 == 3:
            # Replaces a partition of its own: the rows before it there are gone on purpose.
            done = fjord.run(f"INSERT OVERWRITE nessie.{name} SELECT {i}, 'mine'")
            ours = [n for n in ours if n[1] != "mine"] if done.returncode == 0 else ours
            part = "mine"
        else:
            part = "f" if i % 2 else "mine"
            done = fjord.run(f"INSERT INTO nessie.{name} VALUES ({i}, '{part}')")
        assert done.returncode == 0 or "conflict" in done.stderr.lower() or "no longer part" in done.stderr, done.stderr
        if done.returncode == 0:
            ours.append((i, part))
    writer.join(600)
    assert not writer.is_alive() and len(theirs) == COWRITES, errors[-3:]
    assert ids_of(pyiceberg, name) == sorted([n for n, _ in ours] + theirs)
    print(f"measured: {len(theirs)} commits of PyIceberg ({len(errors)} races lost), {len(ours)} rows of Fjord's kept, none lost")


@pytest.mark.parametrize("mode", MODES)
def test_acceptance_4_a_commit_that_goes_wrong_is_right_in_the_end(tmp_path, pyiceberg, schema, mode):
    direct = Fjord(tmp_path / "direct", URI)
    direct.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE nessie.{schema}.t (id bigint); SELECT 1")
    proxy = FaultRest(URI)
    fjord = Fjord(tmp_path / "proxied", proxy.uri)
    certain, unknown, failed = [], [], []
    try:
        for i in range(FAULTS):
            proxy.script = [mode]
            done = fjord.run(f"INSERT INTO nessie.{schema}.t VALUES ({i})")
            if done.returncode == 0:
                certain.append(i)
            elif "unknown whether the commit was applied" in done.stderr:
                unknown.append(i)
            else:
                failed.append((i, done.stderr))
        assert len(proxy.met) == FAULTS, "the fault never befell a commit"
    finally:
        time.sleep(2.5 if mode == "late" else 0)
        proxy.close()
    found = ids_of(pyiceberg, f"{schema}.t")
    print(f"measured: {mode}: {len(certain)} certain, {len(unknown)} unknown, {len(failed)} failed of {FAULTS}")
    assert len(found) == len(set(found)), "a row is there twice"
    assert set(certain) <= set(found) <= set(certain) | set(unknown), (certain, unknown, found)
    assert not failed, failed
    if mode in ("pass", "409", "429", "twice", "500 after", "502 after", "503 after", "504 after", "reset after", "truncate", "html"):
        assert len(certain) == FAULTS, unknown
    # Whatever is referenced is there: the reader above opened every data file; the maintenance paths too.
    assert direct.rows(f"SELECT count(*) FROM nessie.{schema}.t") == [str(len(found))]


def test_a_lost_answer_with_anothers_commit_on_top_is_found_in_nessies_log(tmp_path, pyiceberg, schema):
    """A table shows its newest snapshot alone there: that ours was applied, only the log of commits knows."""
    direct = Fjord(tmp_path / "direct", URI)
    direct.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE nessie.{schema}.t (id bigint); SELECT 1")
    proxy = FaultRest(URI)
    fjord = Fjord(tmp_path / "proxied", proxy.uri)
    row = lambda n: pa.table({"id": pa.array([n], pa.int64())})
    try:
        for turn in range(FAULTS):
            proxy.rival = lambda: pyiceberg.load_table(f"{schema}.t").append(row(1000 + turn))
            proxy.script = ["overtaken"]
            done = fjord.run(f"INSERT INTO nessie.{schema}.t VALUES ({turn})")
            assert done.returncode == 0, done.stderr
        assert len(proxy.met) == FAULTS
    finally:
        proxy.close()
    assert ids_of(pyiceberg, f"{schema}.t") == sorted([*range(FAULTS), *range(1000, 1000 + FAULTS)])


def make_reference(name, kind="BRANCH", of="main"):
    api = os.environ["FJORD_TEST_NESSIE_API"]
    with urllib.request.urlopen(f"{api}/trees/{of}", timeout=10) as answer:
        head = json.load(answer)["reference"]
    body = json.dumps({"type": head["type"], "name": of, "hash": head["hash"]}).encode()
    url = f"{api}/trees?name={quote(name, safe='')}&type={kind}"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()
    return head["hash"]


def test_versions_are_references_of_nessies(tmp_path, schema):
    fjord = Fjord(tmp_path, URI)
    fjord.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE nessie.{schema}.t (id bigint); INSERT INTO nessie.{schema}.t VALUES (1); SELECT 1")
    branch, tag = f"feature/{schema}", f"tag{schema}"
    head = make_reference(branch)
    make_reference(tag, "TAG")
    fjord.rows(f"SET nessie_reference = '{branch}'; INSERT INTO nessie.{schema}.t VALUES (2); CREATE TABLE nessie.{schema}.there (id bigint); SELECT 1")
    fjord.rows(f"INSERT INTO nessie.{schema}.t VALUES (3); SELECT 1")
    at = lambda version: fjord.rows(f"SELECT id FROM nessie.{schema}.t FOR VERSION AS OF '{version}' ORDER BY id")
    assert fjord.rows(f"SELECT id FROM nessie.{schema}.t ORDER BY id") == ["1", "3"]
    assert at(branch) == ["1", "2"] and at(tag) == ["1"] and at(f"main@{head}") == ["1"] and at("main") == ["1", "3"]
    # Two states of one table in one query, and what is known of a state.
    both = f"SELECT a.id, b.id FROM nessie.{schema}.t a JOIN nessie.{schema}.t FOR VERSION AS OF '{branch}' b ON a.id = b.id"
    assert fjord.rows(both) == ["1,1"]
    assert fjord.rows(f"SELECT count(*) FROM nessie.{schema}.\"t$files\" FOR VERSION AS OF '{branch}'") == ["2"]
    # The session's own reference, for everything that it names.
    there = f"SET nessie_reference = '{branch}'; "
    assert fjord.rows(f"{there} SHOW TABLES FROM nessie.{schema}") == ["t", "there"]
    assert fjord.rows(f"SHOW TABLES FROM nessie.{schema}") == ["t"]
    assert fjord.rows(f"{there} SELECT id FROM nessie.{schema}.t ORDER BY id") == ["1", "2"]
    assert fjord.rows(f"{there} SELECT id FROM nessie.{schema}.\"t@main\" ORDER BY id") == ["1", "3"]
    assert fjord.rows(f"{there} RESET nessie_reference; SELECT id FROM nessie.{schema}.t ORDER BY id") == ["1", "3"]
    assert fjord.rows(f"SET nessie_reference = '{tag}'; SELECT id FROM nessie.{schema}.t") == ["1"]
    for statement, problem in [
        (f"SELECT * FROM nessie.{schema}.t FOR VERSION AS OF 'nosuch'", "nosuch"),
        (f"SELECT * FROM nessie.{schema}.\"t@main\" FOR VERSION AS OF '{tag}'", "is a version of it already"),
        (f"SET nessie_reference = '{tag}'; INSERT INTO nessie.{schema}.t VALUES (9)", "branch"),
        (f"INSERT INTO nessie.{schema}.\"t@main@{head}\" VALUES (9)", "never changes"),
        ("SET nessie_reference = 'main|warehouse'", "is no name of a branch"),
        (f"SELECT * FROM nessie.{schema}.\"t@main|other\"", "is no name of a branch"),
    ]:
        done = fjord.run(statement)
        assert done.returncode == 1 and problem in done.stderr, (statement, done.stderr)
    # Catalogs without references of their own are as they were.
    assert fjord.rows(f"{there} CREATE TABLE iceberg.\"default\".x AS SELECT 1 AS a; SELECT a FROM iceberg.\"default\".x") == ["1"]


def test_plain_files_become_tables_of_nessies(tmp_path, pyiceberg, schema):
    fjord = Fjord(tmp_path, URI)
    plain = f"s3://{s3('BUCKET')}/plain/{schema}"
    fjord.rows(f"""CREATE SCHEMA nessie.{schema};
        COPY (SELECT CAST(1 AS bigint) AS id, 'x' AS v) TO '{plain}/p=1/a.parquet' (FORMAT parquet);
        COPY (SELECT CAST(2 AS bigint) AS id, 'y' AS v) TO '{plain}/p=2/b.parquet' (FORMAT parquet);
        CREATE TABLE nessie.{schema}.t (id bigint, v varchar, p int) PARTITIONED BY (p);
        CALL nessie.system.add_files('{schema}.t', '{plain}');
        CALL nessie.system.snapshot('{plain}', '{schema}.snap'); SELECT 1""")
    for name in ("t", "snap"):
        assert fjord.rows(f"SELECT id, v, p FROM nessie.{schema}.{name} ORDER BY id") == ["1,x,1", "2,y,2"]
        assert ids_of(pyiceberg, f"{schema}.{name}") == [1, 2]
    again = fjord.run(f"CALL nessie.system.add_files('{schema}.t', '{plain}')")
    assert again.returncode == 1 and "already" in again.stderr
    nowhere = fjord.run(f"SET nessie_reference = 'nosuch'; SHOW TABLES FROM nessie.{schema}")
    assert nowhere.returncode == 1 and "nosuch" in nowhere.stderr, nowhere.stderr


def test_a_table_is_registered(tmp_path, pyiceberg, schema):
    fjord = Fjord(tmp_path, URI)
    fjord.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE nessie.{schema}.t (id bigint); INSERT INTO nessie.{schema}.t VALUES (1); SELECT 1")
    location = pyiceberg.load_table(f"{schema}.t").metadata_location
    fjord.rows(f"DROP TABLE nessie.{schema}.t; CALL nessie.system.register_table('{schema}.again', '{location}'); SELECT 1")
    assert fjord.rows(f"SELECT id FROM nessie.{schema}.again") == ["1"]
    assert ids_of(pyiceberg, f"{schema}.again") == [1]


def test_branches_are_references_of_nessies(tmp_path, schema):
    main = Fjord(tmp_path / "main", URI)
    main.rows(f"CREATE SCHEMA nessie.{schema}; CREATE TABLE nessie.{schema}.t (id bigint); INSERT INTO nessie.{schema}.t VALUES (1); SELECT 1")
    branch = f"b{schema}"
    make_reference(branch)
    there = Fjord(tmp_path / "branch", URI, branch)
    there.rows(f"INSERT INTO nessie.{schema}.t VALUES (2); SELECT 1")
    main.rows(f'INSERT INTO nessie.{schema}."t@{branch}" VALUES (3); SELECT 1')
    assert main.rows(f"SELECT id FROM nessie.{schema}.t ORDER BY id") == ["1"]
    for rows in (there.rows(f"SELECT id FROM nessie.{schema}.t ORDER BY id"), main.rows(f'SELECT id FROM nessie.{schema}."t@{branch}" ORDER BY id')):
        assert rows == ["1", "2", "3"]


def test_d1_a_catalog_that_is_down_fails_its_own_statements_alone(tmp_path):
    fjord = Fjord(tmp_path, "http://127.0.0.1:1/iceberg")
    started = time.monotonic()
    done = fjord.run("SELECT * FROM nessie.a.t")
    assert done.returncode == 1 and "cannot be reached" in done.stderr, done.stderr
    assert time.monotonic() - started < 15
    assert fjord.rows("SHOW CATALOGS") == ["iceberg", "nessie"]
