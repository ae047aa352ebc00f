"""Tables in a bucket, with PyIceberg and DuckDB as the other readers and writers.

Needs the server of `tests/counterparts/run --with s3`; skipped without.
"""

import os
import uuid

import pyarrow as pa
import pytest

from conftest import Lake

ENDPOINT = os.environ.get("FJORD_TEST_S3_ENDPOINT")
pytestmark = pytest.mark.skipif(not ENDPOINT, reason="no FJORD_TEST_S3_ENDPOINT: run below tests/counterparts/run --with s3")


class BucketLake(Lake):
    """A data directory whose tables lie in a bucket."""

    def __init__(self, path):
        super().__init__(path)
        self.warehouse = f"s3://{os.environ['FJORD_TEST_S3_BUCKET']}/external-{uuid.uuid4().hex}"
        self.config = self.path.parent / "fjord.toml"
        self.config.write_text(
            f"""
[catalog.iceberg]
type = "embedded"
warehouse = "{self.warehouse}"
[storage.lake]
prefix = "{self.warehouse}/"
endpoint = "{ENDPOINT}"
access_key_id = {{ env = "FJORD_TEST_S3_KEY" }}
secret_access_key = {{ env = "FJORD_TEST_S3_SECRET" }}
"""
        )

    def run(self, *arguments, check=True):
        return super().run(*arguments, "--config", str(self.config), check=check)

    def catalog(self):
        from pyiceberg.catalog.sql import SqlCatalog

        s3 = {
            "s3.endpoint": ENDPOINT,
            "s3.access-key-id": os.environ["FJORD_TEST_S3_KEY"],
            "s3.secret-access-key": os.environ["FJORD_TEST_S3_SECRET"],
            "s3.region": "us-east-1",
        }
        return SqlCatalog("iceberg", uri=f"sqlite:///{self.path}/catalog.db", warehouse=self.warehouse, **s3)

    def metadata_file(self, name):
        return self.table(name).metadata_location


@pytest.fixture
def bucket(tmp_path):
    return BucketLake(tmp_path / "lake")


def test_pyiceberg_reads_and_appends_in_a_bucket(bucket):
    bucket.sql(
        """
        CREATE TABLE t (id bigint, kind varchar, at timestamp) PARTITIONED BY (kind);
        INSERT INTO t SELECT v, CASE v % 3 WHEN 0 THEN 'a/b ü' WHEN 1 THEN 'x=%2F' END, timestamp '2026-01-02 03:04:05'
          FROM range(0, 300) AS r(v);
        DELETE FROM t WHERE kind = 'x=%2F';
        """
    )
    rows = bucket.table("default.t").scan().to_arrow()
    assert sorted(rows["id"].to_pylist()) == [v for v in range(300) if v % 3 != 1]
    more = pa.table({"id": [1000], "kind": ["new"], "at": pa.array([None], pa.timestamp("us"))})
    bucket.table("default.t").append(more)
    assert bucket.sql("SELECT count(*) AS n, max(id) AS m FROM t") == [{"n": 201, "m": 1000}]
    assert bucket.sql("SELECT id FROM t WHERE kind = 'new'") == [{"id": 1000}]


def test_duckdb_reads_what_was_written_to_a_bucket(bucket, duck):
    import duckdb_extensions

    bucket.sql("CREATE TABLE t AS SELECT v AS id, v * 1.5 AS x FROM range(0, 1000) AS r(v)")
    duckdb_extensions.import_extension("httpfs", con=duck)
    duck.load_extension("httpfs")
    duck.execute(
        f"""CREATE OR REPLACE SECRET s (TYPE s3, KEY_ID '{os.environ["FJORD_TEST_S3_KEY"]}',
        SECRET '{os.environ["FJORD_TEST_S3_SECRET"]}', REGION 'us-east-1', ENDPOINT '{ENDPOINT.removeprefix("http://")}',
        URL_STYLE 'path', USE_SSL false)"""
    )
    location = bucket.metadata_file("default.t")
    assert location.startswith(bucket.warehouse)
    found = duck.execute(f"SELECT count(*), sum(id), sum(x) FROM iceberg_scan('{location}')").fetchone()
    assert (found[0], found[1], float(found[2])) == (1000, 499500, 749250.0)


def test_a_purged_table_leaves_nothing_in_the_bucket(bucket):
    bucket.sql("CREATE TABLE t AS SELECT v AS id FROM range(0, 1000) AS r(v); INSERT INTO t VALUES (1)")
    location = bucket.table("default.t").metadata.location
    from pyarrow.fs import FileSelector, S3FileSystem

    filesystem = S3FileSystem(
        endpoint_override=ENDPOINT.removeprefix("http://"),
        scheme="http",
        access_key=os.environ["FJORD_TEST_S3_KEY"],
        secret_key=os.environ["FJORD_TEST_S3_SECRET"],
    )

    def files():
        selector = FileSelector(location.removeprefix("s3://"), recursive=True, allow_not_found=True)
        return [found.path for found in filesystem.get_file_info(selector) if found.is_file]

    assert len(files()) > 5
    bucket.sql("DROP TABLE t PURGE")
    assert files() == []


def test_secrets_stay_out_of_metadata_errors_and_history(bucket):
    secret = os.environ["FJORD_TEST_S3_SECRET"]
    bucket.sql("CREATE TABLE t AS SELECT 1 AS a")
    bad = bucket.run("sql", "-c", "SELECT * FROM read_csv('s3://elsewhere/x.csv')", check=False)
    assert bad.returncode == 1 and "no store is configured" in bad.stderr
    assert secret not in bad.stderr + bad.stdout
    for file in bucket.path.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
