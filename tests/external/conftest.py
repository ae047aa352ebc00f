"""What the tests with foreign engines share: the binary, a data directory, PyIceberg and DuckDB on it."""

import json
import os
import subprocess
from pathlib import Path

import duckdb
import iceberg_java
import pytest
from pyiceberg.catalog.sql import SqlCatalog

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("FJORD_BIN", str(ROOT / "target/debug/fjord"))


class Lake:
    """A data directory, and the ways into it."""

    def __init__(self, path):
        self.path = Path(path)

    def run(self, *arguments, check=True):
        """Runs the binary on this directory; fails the test with its errors."""
        command = [BINARY, *arguments, "--data-dir", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if check:
            assert done.returncode == 0, f"{command}\n{done.stderr[-4000:]}"
        return done

    def sql(self, text):
        """Runs a script; returns the rows that it printed, as dictionaries."""
        script = self.path.parent / "script.sql"
        script.write_text(text)
        out = self.run("sql", "--format", "json", "-f", str(script)).stdout
        return [json.loads(line) for line in out.splitlines()]

    def catalog(self):
        """PyIceberg on the same catalog file."""
        return SqlCatalog("iceberg", uri=f"sqlite:///{self.path}/catalog.db", warehouse=f"file://{self.path}/warehouse")

    def table(self, name):
        return self.catalog().load_table(name)

    def metadata_file(self, name):
        return self.table(name).metadata_location.removeprefix("file://")


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture(scope="session")
def duck():
    """DuckDB with its iceberg extension, from PyPI packages alone."""
    import duckdb_extensions

    connection = duckdb.connect()
    for name in ("avro", "iceberg"):
        duckdb_extensions.import_extension(name, con=connection)
        connection.load_extension(name)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@pytest.fixture(scope="session")
def java_class_path(tmp_path_factory):
    return iceberg_java.build(tmp_path_factory.mktemp("iceberg-java"))


@pytest.fixture
def java(lake, java_class_path):
    """Iceberg Java on the same catalog file, which Fjord has made."""
    lake.sql("CREATE SCHEMA s;")
    program = iceberg_java.IcebergJava(java_class_path, lake.path)
    yield program
    program.close()
