"""Fjord and PyIceberg on one embedded catalog in PostgreSQL, at once and while the server goes away.

Needs a server: `tests/counterparts/run --with postgres -- pytest tests/external/test_postgres.py`. Scales with
FJORD_COWRITER_APPENDS (300 appends of PyIceberg).
"""

import os
import random
import subprocess
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlparse

import pyarrow as pa
import pytest

import check_commits
from conftest import BINARY

psycopg2 = pytest.importorskip("psycopg2")
from pyiceberg.catalog.sql import SqlCatalog  # noqa: E402
from pyiceberg.exceptions import CommitFailedException  # noqa: E402

URL = os.environ.get("FJORD_TEST_POSTGRES_URL")
CTL = os.environ.get("FJORD_TEST_POSTGRES_CTL")
APPENDS = int(os.environ.get("FJORD_COWRITER_APPENDS", "300"))
THREADS = 2
PAUSE_SECONDS = 3.0
FIRST_PAUSE_SECONDS = (0.0, 0.3)
FIRST_COMMITS = 12
RESTARTS = 5

pytestmark = pytest.mark.skipif(not URL, reason="skipped: no FJORD_TEST_POSTGRES_URL")


class PostgresLake:
    """A data directory whose catalog is a new database, and the ways into both."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.mkdir()
        parts = urlparse(URL)
        self.database = "t" + uuid.uuid4().hex
        connection = psycopg2.connect(URL)
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {self.database}")
        connection.close()
        self.url = parts._replace(path=f"/{self.database}").geturl()
        self.config = self.path / "fjord.toml"
        bare = parts._replace(path=f"/{self.database}", netloc=f"{parts.username}@{parts.hostname}:{parts.port}")
        self.config.write_text(
            f'[catalog.iceberg]\ntype = "embedded"\nurl = "{bare.geturl()}"\npassword = {{ env = "LAKE_PASSWORD" }}\n'
        )
        self.environment = {**os.environ, "LAKE_PASSWORD": parts.password}

    def start(self, script):
        """`fjord sql` on a script, in the background."""
        command = [BINARY, "sql", "--config", self.config, "--data-dir", self.path, "--format", "csv", "-c", script]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)

    def sql(self, script):
        return finished(self.start(script))

    def fjord(self, *arguments):
        command = [BINARY, *arguments, "--config", self.config, "--data-dir", self.path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def catalog(self):
        url = self.url.replace("postgres://", "postgresql+psycopg2://")
        return SqlCatalog("iceberg", uri=url, warehouse=f"file://{self.path}/warehouse", pool_pre_ping="true")


@pytest.fixture
def lake(tmp_path):
    return PostgresLake(tmp_path / "lake")


def finished(process):
    output, errors = process.communicate(timeout=1200)
    assert process.returncode == 0, errors
    return output


def append(catalog, name, rows, acknowledged):
    """Appends until it is acknowledged: PyIceberg gives up after a lost race, having done nothing."""
    while True:
        try:
            catalog.load_table(name).append(rows)
            acknowledged.append(rows)
            return
        except CommitFailedException:
            continue


def rows(part, ns):
    return pa.table({"part": [part] * len(ns), "n": pa.array(ns, pa.int64())})


def read(duck, lake, name):
    """What an independent reader finds in the current metadata file."""
    location = lake.catalog().load_table(name).metadata_location
    return duck.execute(f"SELECT part, n FROM iceberg_scan('{location}')").fetchall()


def assert_whole(lake, name):
    problems = []
    table = lake.catalog().load_table(name)
    check_commits.check_chain(table.metadata, problems)
    assert not problems, problems
    return table


def test_no_acknowledged_commit_is_lost_between_pyiceberg_and_fjord(lake, duck):
    lake.sql("CREATE SCHEMA s; CREATE TABLE s.t (part varchar, n bigint) PARTITIONED BY (part);")
    acknowledged, failures = [], []

    def pyiceberg(thread):
        try:
            catalog = lake.catalog()
            for n in range(thread, APPENDS, THREADS):
                append(catalog, "s.t", rows("pyiceberg", [n]), acknowledged)
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=pyiceberg, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    # Paced: a writer that never rests would win every race, for its attempts are the shorter ones.
    count, between = 0, []
    while any(thread.is_alive() for thread in threads):
        pair = [
            lake.start(f"INSERT INTO s.t VALUES ('fjord', {count}); INSERT INTO s.t VALUES ('fjord', {count + 1});"),
            lake.start(f"INSERT OVERWRITE s.t PARTITION (part = 'replaced') SELECT {count};"),
        ]
        for process in pair:
            finished(process)
        count += 2
        between.append(len(acknowledged))
        time.sleep(PAUSE_SECONDS)
    appends, overwrites = list(range(count)), list(range(0, count, 2))
    # They did write at once: most of Fjord's commits lie between two of PyIceberg's.
    assert len([n for n in between if 0 < n < APPENDS]) >= len(between) // 2 and len(between) >= 5, between
    for thread in threads:
        thread.join()
    assert not failures
    assert len(acknowledged) == APPENDS
    found = read(duck, lake, "s.t")
    parts = {part: sorted(n for p, n in found if p == part) for part in ("pyiceberg", "fjord", "replaced")}
    assert parts["pyiceberg"] == list(range(APPENDS))
    assert parts["fjord"] == appends
    assert parts["replaced"] == overwrites[-1:]
    table = assert_whole(lake, "s.t")
    assert len(table.metadata.snapshots) == APPENDS + len(appends) + len(overwrites)
    print(f"{APPENDS} appends of PyIceberg, {len(appends)} appends and {len(overwrites)} overwrites of Fjord")


def test_first_commits_to_tables_that_fjord_made_are_not_lost(lake, duck):
    names = [f"s.t{number}" for number in range(FIRST_COMMITS)]
    lake.sql("CREATE SCHEMA s;" + "".join(f"CREATE TABLE {name} (part varchar, n bigint);" for name in names))
    failures, firsts = [], []

    def first(name, n):
        try:
            catalog = lake.catalog()
            # About as long as a process of Fjord takes to its first commit.
            time.sleep(random.uniform(*FIRST_PAUSE_SECONDS))
            append(catalog, name, rows("pyiceberg", [n]), [])
        except Exception as e:
            failures.append(e)

    for name in names:
        threads = [threading.Thread(target=first, args=(name, n)) for n in (1, 2)]
        fjord = lake.start(f"INSERT INTO {name} VALUES ('fjord', 3);")
        for thread in threads:
            thread.start()
        finished(fjord)
        for thread in threads:
            thread.join()
        snapshot = lake.catalog().load_table(name).history()[0].snapshot_id
        summary = lake.catalog().load_table(name).snapshot_by_id(snapshot).summary
        firsts.append("fjord" if "engine.op-id" in summary.additional_properties else "pyiceberg")
    assert not failures
    print(f"first to commit: {firsts}")
    for name in names:
        assert sorted(n for _, n in read(duck, lake, name)) == [1, 2, 3]
        assert len(assert_whole(lake, name).metadata.snapshots) == 3


@pytest.mark.skipif(not CTL, reason="skipped: no FJORD_TEST_POSTGRES_CTL")
def test_writers_outlive_a_server_that_crashes_and_comes_back(lake, duck):
    lake.sql("CREATE SCHEMA s; CREATE TABLE s.t (part varchar, n bigint);")
    count = 60
    scripts = ["".join(f"INSERT INTO s.t VALUES ('{who}', {n}); SELECT 'told {n}';" for n in range(count)) for who in "abc"]
    writers = [lake.start(script) for script in scripts]
    for _ in range(RESTARTS):
        time.sleep(2)
        # No shutdown: whatever was not in the log on disk is lost.
        subprocess.run([CTL, "-m", "immediate", "stop"], check=True, capture_output=True)
        time.sleep(0.5)
        subprocess.run([CTL, "start"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    ended = [writer.communicate(timeout=600) for writer in writers]
    found = read(duck, lake, "s.t")
    assert len(found) == len(set(found)), "a commit was applied twice"
    total = 0
    for who, writer, (output, errors) in zip("abc", writers, ended):
        told = [int(line.split()[1]) for line in output.splitlines() if line.startswith("told ")]
        missing = set(told) - {n for part, n in found if part == who}
        assert not missing, f"acknowledged and lost: {missing}"
        # A statement whose plan needs the server may fail while it is away, and says so.
        assert writer.returncode == 0 or "catalog database" in errors or "it is unknown" in errors, errors
        total += len(told)
    assert total >= RESTARTS, "nothing was written between the crashes"
    print(f"{total} acknowledged, {len(found)} found")
    assert_whole(lake, "s.t")


def test_a_backup_moves_a_catalog_from_postgres_to_sqlite_and_back(lake, tmp_path, duck):
    lake.sql("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 'x' AS part, 1 AS n; CREATE VIEW s.v AS SELECT n FROM s.t;")
    backup = tmp_path / "backup.db"
    assert "backed up 1 tables and 1 views" in lake.fjord("backup", backup)
    # The file is a catalog that PyIceberg opens.
    opened = SqlCatalog("iceberg", uri=f"sqlite:///{backup}", warehouse="file:///nowhere")
    assert opened.load_table("s.t").scan().to_arrow()["part"].to_pylist() == ["x"]
    lake.sql("INSERT INTO s.t VALUES ('y', 2); DROP VIEW s.v;")
    assert "restored 1 tables and 1 views" in lake.fjord("restore", backup, "--replace")
    assert lake.sql("SELECT count(*) FROM s.v;").split()[-1] == "1"
    assert read(duck, lake, "s.t") == [("x", 1)]
