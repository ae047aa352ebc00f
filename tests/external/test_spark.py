"""Spark with Iceberg's runtime on the same tables: what it deletes, updates, merges and evolves, Fjord reads row for
row; what Fjord then evolves and appends, Spark reads."""

import datetime as dt
import decimal
import os
import time

import pytest

pytest.importorskip("pyspark", reason="needs requirements-spark.txt")

import spark_session  # noqa: E402
from conftest import Lake  # noqa: E402


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    spark_session.require_java()
    os.environ["TZ"] = "UTC"
    time.tzset()
    folder = tmp_path_factory.mktemp("spark")
    lake = Lake(folder / "lake")
    lake.sql("CREATE SCHEMA s;")
    session = spark_session.start(folder, lake.path)
    yield Both(lake, session, folder)
    session.stop()


class Both:
    """Fjord and Spark on one catalog."""

    def __init__(self, lake, session, folder):
        self.lake, self.session, self.folder = lake, session, folder

    def spark(self, *statements):
        """Runs statements; the rows of the last, as dictionaries.

        In a session of their own, which connects anew: Iceberg's JDBC catalog leaves a read open, and SQLite lets
        nobody write who has not seen what others wrote since."""
        session = self.session.newSession()
        for statement in statements:
            rows = session.sql(statement).collect()
        return [{key: plain(value) for key, value in row.asDict().items()} for row in rows]

    def fjord(self, *statements):
        return [{key: plain(value) for key, value in row.items()} for row in self.lake.sql(";\n".join(statements) + ";")]

    def same(self, table, columns="*", where="true", order="id", count=None):
        """Both give the same rows, in order; returns them."""
        query = f"SELECT {columns} FROM iceberg.{table} WHERE {where} ORDER BY {order}"
        theirs, ours = self.spark(query), self.fjord(query)
        assert ours == theirs, query
        assert count is None or len(ours) == count, query
        total = f"SELECT count(*) AS n FROM iceberg.{table} WHERE {where}"
        assert self.fjord(total) == self.spark(total) == [{"n": len(ours)}]
        return ours

    def same_metadata(self, table):
        """Which rows are deleted by position, and (format 3) which row is which."""
        columns = "file_path, pos, spec_id, delete_file_path, partition.p AS p"
        theirs = self.spark(f"SELECT {columns} FROM iceberg.{table}.position_deletes ORDER BY delete_file_path, file_path, pos")
        ours = self.fjord(f'SELECT {columns} FROM "{table.replace(".", chr(34) + "." + chr(34))}$position_deletes" ORDER BY delete_file_path, file_path, pos')
        assert ours == theirs
        if self.lake.table(table).metadata.format_version == 3:
            self.same(table, columns="id, _row_id, _last_updated_sequence_number")
        return ours

    def files(self, table):
        """(content, format) of every live file, by Spark."""
        rows = self.spark(f"SELECT DISTINCT content, file_format FROM iceberg.{table}.files")
        return {(row["content"], row["file_format"]) for row in rows}


def plain(value):
    """A value as both spell it."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if hasattr(value, "asDict"):
        value = value.asDict()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str) and len(value) > 10 and value[4:5] == "-" and value[13:14] == ":":
        return dt.datetime.fromisoformat(value.replace("Z", "+00:00")).replace(tzinfo=None).isoformat()
    return value


def modes(mode):
    return ", ".join(f"'write.{verb}.mode' = '{mode}'" for verb in ("delete", "update", "merge"))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("mode", ["copy-on-write", "merge-on-read"])
def test_rows_that_spark_deleted_updated_and_merged(both, version, mode):
    table = f"s.rows_{version}_{mode[0]}"
    both.spark(
        f"""CREATE TABLE iceberg.{table} (id bigint, p string, v double) USING iceberg PARTITIONED BY (p)
        TBLPROPERTIES ('format-version' = '{version}', {modes(mode)})""",
        f"INSERT INTO iceberg.{table} SELECT id, CAST(id % 3 AS string), id / 2 FROM range(200)",
        f"DELETE FROM iceberg.{table} WHERE id % 7 = 0",
        f"UPDATE iceberg.{table} SET v = -1, p = 'moved' WHERE id BETWEEN 10 AND 20",
        f"""MERGE INTO iceberg.{table} t USING (SELECT id FROM range(195, 205)) s ON t.id = s.id
        WHEN MATCHED AND t.id = 199 THEN DELETE WHEN MATCHED THEN UPDATE SET v = 9
        WHEN NOT MATCHED THEN INSERT (id, p, v) VALUES (s.id, '9', 1)""",
    )
    kinds = both.files(table)
    deletes = {(1, "PUFFIN" if version == 3 else "PARQUET")} if mode == "merge-on-read" else set()
    assert kinds == {(0, "PARQUET")} | deletes
    both.same(table, count=176)
    both.same(table, where="p = '9' OR v < 0")
    assert bool(both.same_metadata(table)) == (mode == "merge-on-read")
    # Fjord appends and replaces a partition; Spark deletes from what Fjord wrote.
    both.fjord(
        f"INSERT INTO {table} SELECT value + 1000, 'fjord', 0.5 FROM range(100)",
        f"INSERT INTO {table} VALUES (5000, NULL, NULL)",
        f"INSERT OVERWRITE {table} SELECT id, p, v + 100 FROM {table} WHERE p = '2'",
    )
    both.same(table)
    both.spark(f"DELETE FROM iceberg.{table} WHERE id IN (1000, 1050, 1099, 5000) OR (p = '2' AND id % 5 = 0)")
    both.same(table)
    both.spark(f"UPDATE iceberg.{table} SET v = 77 WHERE id % 10 = 1")
    rows = both.same(table)
    assert {row["v"] for row in rows if row["id"] % 10 == 1} == {77}
    both.same_metadata(table)
    both.fjord(f"DELETE FROM {table} WHERE p = 'fjord'")
    both.same(table)


def test_position_deletes_and_vectors_in_one_table_that_fjord_upgraded(both):
    table = "s.upgraded"
    both.spark(
        f"CREATE TABLE iceberg.{table} (id bigint, v string) USING iceberg TBLPROPERTIES ('format-version' = '2', {modes('merge-on-read')})",
        f"INSERT INTO iceberg.{table} SELECT id, CAST(id AS string) FROM range(100)",
        f"DELETE FROM iceberg.{table} WHERE id % 10 = 3",
    )
    both.same(table, count=90)
    both.fjord(f"ALTER TABLE {table} SET PROPERTIES format_version = 3", f"INSERT INTO {table} SELECT value + 100, 'f' FROM range(50)")
    both.same(table, count=140)
    both.spark(f"DELETE FROM iceberg.{table} WHERE id % 10 = 4 AND id > 50")
    assert both.files(table) >= {(1, "PUFFIN")}
    both.same(table, count=130)


def test_columns_that_spark_renamed_promoted_dropped_and_moved(both):
    table = "s.columns"
    both.spark(
        f"CREATE TABLE iceberg.{table} (id int, a string, f float, d decimal(5, 2), gone string) USING iceberg TBLPROPERTIES ({modes('merge-on-read')})",
        f"INSERT INTO iceberg.{table} VALUES (1, 'x', 1.5, 1.25, 'g'), (2, NULL, NULL, NULL, NULL), (3, 'y', -2.5, 999.99, 'h')",
        f"DELETE FROM iceberg.{table} WHERE a = 'y'",
        f"ALTER TABLE iceberg.{table} RENAME COLUMN a TO b",
        f"ALTER TABLE iceberg.{table} ALTER COLUMN id TYPE bigint",
        f"ALTER TABLE iceberg.{table} ALTER COLUMN f TYPE double",
        f"ALTER TABLE iceberg.{table} ALTER COLUMN d TYPE decimal(12, 2)",
        f"ALTER TABLE iceberg.{table} DROP COLUMN gone",
        f"ALTER TABLE iceberg.{table} ADD COLUMN gone int AFTER id",
        f"ALTER TABLE iceberg.{table} ADD COLUMN a date FIRST",
        f"INSERT INTO iceberg.{table} VALUES (date '2026-01-02', 5000000000, 7, 'z', 0.1, 1234567890.12)",
    )
    rows = both.same(table, count=3)
    assert list(rows[0]) == ["a", "id", "gone", "b", "f", "d"] and rows[0]["gone"] is None
    both.same(table, where="b = 'x' OR d > 1000 OR a IS NOT NULL")
    # And on by Fjord.
    both.fjord(
        f"ALTER TABLE {table} RENAME COLUMN b TO c",
        f"ALTER TABLE {table} DROP COLUMN a",
        f"ALTER TABLE {table} ADD COLUMN b int",
        f"ALTER TABLE {table} ALTER COLUMN d TYPE decimal(20, 2)",
        f"INSERT INTO {table} (id, c, b, d) VALUES (9, 'nine', 9, 12345678901234567.89)",
    )
    assert list(both.same(table, count=4)[0]) == ["id", "gone", "c", "f", "d", "b"]
    both.spark(f"DELETE FROM iceberg.{table} WHERE c = 'nine'")
    both.same(table, count=3)


def test_three_partition_specs_in_one_table(both):
    table = "s.specs"
    row = lambda ids: f"SELECT id, CAST(id % 3 AS string), timestamp_seconds(id * 40000) FROM {ids}"
    both.spark(
        f"CREATE TABLE iceberg.{table} (id bigint, p string, at timestamp) USING iceberg PARTITIONED BY (p) TBLPROPERTIES ({modes('merge-on-read')})",
        f"INSERT INTO iceberg.{table} {row('range(50)')}",
        f"DELETE FROM iceberg.{table} WHERE id IN (1, 2, 40)",
        f"ALTER TABLE iceberg.{table} REPLACE PARTITION FIELD p WITH days(at)",
        f"INSERT INTO iceberg.{table} {row('range(50, 100)')}",
        f"DELETE FROM iceberg.{table} WHERE id IN (3, 60, 61)",
        f"ALTER TABLE iceberg.{table} ADD PARTITION FIELD bucket(4, id)",
        f"INSERT INTO iceberg.{table} {row('range(100, 150)')}",
        f"DELETE FROM iceberg.{table} WHERE id % 50 = 9",
    )
    assert len(both.lake.table(table).specs()) == 3
    both.same(table, count=141)
    for where in ["p = '1'", "id = 60 OR id = 62 OR id = 120", "at >= timestamp '1970-01-20 00:00:00' AND at < timestamp '1970-02-20 00:00:00'"]:
        both.same(table, where=where)
    both.fjord(
        f"ALTER TABLE {table} DROP PARTITION FIELD bucket(4, id)",
        f"ALTER TABLE {table} ADD PARTITION FIELD truncate(1, p)",
        f"INSERT INTO {table} VALUES (500, 'fjord', TIMESTAMP '2026-01-01T00:00:00Z'), (501, NULL, NULL)",
    )
    both.same(table, count=143)
    both.same(table, where="p = 'fjord' OR at IS NULL", count=2)
    both.spark(f"DELETE FROM iceberg.{table} WHERE p = 'fjord' OR id = 100")
    both.same(table, count=141)


def test_nested_columns_that_spark_and_fjord_evolved(both):
    table = "s.nested"
    both.spark(
        f"""CREATE TABLE iceberg.{table} (id bigint, s struct<a: int, b: string>, l array<struct<x: int>>, m map<string, struct<y: int>>)
        USING iceberg TBLPROPERTIES ({modes('merge-on-read')})""",
        f"""INSERT INTO iceberg.{table} VALUES
        (1, named_struct('a', 1, 'b', 'one'), array(named_struct('x', 1), NULL), map('k', named_struct('y', 1))),
        (2, NULL, array(), map()), (3, named_struct('a', NULL, 'b', NULL), NULL, NULL)""",
        f"ALTER TABLE iceberg.{table} ADD COLUMN s.c double AFTER a",
        f"ALTER TABLE iceberg.{table} RENAME COLUMN s.b TO bb",
        f"ALTER TABLE iceberg.{table} ALTER COLUMN s.a TYPE bigint",
        f"ALTER TABLE iceberg.{table} ADD COLUMN l.element.z string",
        f"ALTER TABLE iceberg.{table} ADD COLUMN m.value.w int",
        f"""INSERT INTO iceberg.{table} VALUES (4, named_struct('a', 5000000000, 'c', 0.5, 'bb', 'four'),
        array(named_struct('x', 4, 'z', 'zz')), map('q', named_struct('y', 4, 'w', 44)))""",
    )
    both.same(table, columns="id, s, l", count=4)
    both.same(table, columns="id, m['k'] AS k, m['q'] AS q")
    both.same(table, columns="id", where="s.bb = 'one' OR s.c > 0", count=2)
    both.fjord(
        f"ALTER TABLE {table} ADD COLUMN s.d date",
        f"ALTER TABLE {table} DROP COLUMN s.c",
        f"ALTER TABLE {table} RENAME COLUMN l.element.x TO xx",
        f"ALTER TABLE {table} RENAME COLUMN s TO place",
        f"INSERT INTO {table} (id, place) VALUES (5, named_struct('a', 5, 'bb', 'five', 'd', DATE '2026-02-03'))",
    )
    rows = both.same(table, columns="id, place, l", count=5)
    assert list(rows[0]["place"]) == ["a", "bb", "d"] and rows[0]["l"][0] == {"xx": 1, "z": None}
    both.spark(f"DELETE FROM iceberg.{table} WHERE place.a = 5")
    both.same(table, columns="id, place, l", count=4)


def test_values_of_every_type_that_spark_has(both):
    table = "s.types"
    both.spark(
        f"""CREATE TABLE iceberg.{table} (id int, b boolean, i int, l bigint, f float, d double, dec decimal(38, 10), s string,
        y binary, da date, ts timestamp, tn timestamp_ntz) USING iceberg""",
        f"""INSERT INTO iceberg.{table} VALUES
        (1, true, -1, 9223372036854775807, 1.5, -2.5, 123456789.0123456789, 'grün 🐟', X'00ff', date '1969-12-31',
         timestamp '2026-01-02 03:04:05.000006', timestamp_ntz '1969-12-31 23:59:59.999999'),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)""",
    )
    both.same(table, count=2)
    both.fjord(f"INSERT INTO {table} SELECT id + 10, b, i, l, f, d, dec, s, y, da, ts, tn FROM {table}")
    rows = both.same(table, count=4)
    assert [{**row, "id": 0} for row in rows[:2]] == [{**row, "id": 0} for row in rows[2:]]
    both.same(table, where="dec > 1 AND da < date '1970-01-01' AND s = 'grün 🐟' AND b", count=2)


def test_defaults_of_fjord_are_spark_s(both):
    """Spark cannot give a column a default; it reads those that Fjord gave."""
    table = "s.defaults"
    both.spark(
        f"CREATE TABLE iceberg.{table} (id bigint) USING iceberg TBLPROPERTIES ('format-version' = '3')",
        f"INSERT INTO iceberg.{table} VALUES (1), (2)",
    )
    both.fjord(
        f"ALTER TABLE {table} ADD COLUMN n int NOT NULL DEFAULT 7, ADD COLUMN label varchar DEFAULT 'was'",
        f"INSERT INTO {table} (id) VALUES (3)",
        f"ALTER TABLE {table} ALTER COLUMN n SET DEFAULT 8, ALTER COLUMN label DROP DEFAULT",
        f"INSERT INTO {table} (id) VALUES (4)",
    )
    rows = both.same(table, count=4)
    assert [(row["n"], row["label"]) for row in rows] == [(7, "was"), (7, "was"), (7, "was"), (8, None)]
    # Iceberg's own readers prune files from before a column as if they had NULL in it: no filter is compared.
    assert [row["id"] for row in both.fjord(f"SELECT id FROM {table} WHERE n = 7 AND label = 'was' ORDER BY id")] == [1, 2, 3]


def test_plain_files_that_spark_took_in_have_no_ids_and_no_partition_columns(both):
    """`add_files` writes a name mapping, and the values of the partition are in no file."""
    table, folder = "s.plain", both.folder / "plain"
    both.session.sql("SELECT id, concat('v', id) AS v, CAST(id % 2 AS string) AS p, CAST(id AS int) AS k FROM range(20)").write.partitionBy("p").parquet(str(folder))
    both.spark(
        f"CREATE TABLE iceberg.{table} (id bigint, v string, k int, p string) USING iceberg PARTITIONED BY (p) TBLPROPERTIES ({modes('merge-on-read')})",
        f"CALL iceberg.system.add_files(table => '{table}', source_table => '`parquet`.`{folder}`')",
    )
    both.same(table, count=20)
    both.same(table, where="p = '1' AND id > 10", count=5)
    both.spark(f"DELETE FROM iceberg.{table} WHERE id IN (3, 4)", f"ALTER TABLE iceberg.{table} RENAME COLUMN v TO w")
    both.same(table, count=18)
    both.fjord(
        f"ALTER TABLE {table} RENAME COLUMN w TO text", f"ALTER TABLE {table} DROP COLUMN k",
        f"INSERT INTO {table} VALUES (100, 'fjord', '1')",
    )
    rows = both.same(table, count=19)
    assert rows[0] == {"id": 0, "text": "v0", "p": "0"}


def test_plain_files_that_fjord_took_in(both):
    folder = both.folder / "taken"
    source = "SELECT id, concat('v', id) AS v, CAST(id AS decimal(9, 2)) AS d, CAST(id / 3 AS double) AS f, date_add(date '2026-01-01', CAST(id AS int)) AS da, CAST(id % 3 AS int) AS p FROM range(30)"
    both.session.sql(source).write.partitionBy("p").parquet(str(folder))
    both.fjord(
        "CREATE TABLE s.taken (id bigint, v varchar, d decimal(9, 2), f double, da date, p int) PARTITIONED BY (p)",
        f"CALL system.add_files('s.taken', '{folder}')",
        f"CALL system.snapshot('{folder}', 's.snapped')",
    )
    for table in ("s.taken", "s.snapped"):
        both.same(table, columns="id, v, d, f, da, p", count=30)
        both.same(table, columns="id", where="p = 2 AND d > 10.5 AND f < 9 AND da < date '2026-01-25' AND v <> 'v11'", count=4)
    both.spark("DELETE FROM iceberg.s.taken WHERE id % 7 = 0", "ALTER TABLE iceberg.s.taken RENAME COLUMN v TO w")
    both.same("s.taken", columns="id, w, d, p", count=25)


def test_branches_tags_and_time_travel_across_engines(both):
    table = "s.refs"
    both.spark(
        f"CREATE TABLE iceberg.{table} (id bigint) USING iceberg",
        f"INSERT INTO iceberg.{table} VALUES (1)",
        f"ALTER TABLE iceberg.{table} CREATE TAG one",
        f"ALTER TABLE iceberg.{table} CREATE BRANCH dev",
        f"INSERT INTO iceberg.{table}.branch_dev VALUES (2)",
    )
    both.fjord(f"INSERT INTO {table} VALUES (3)", f'INSERT INTO s."refs@dev" VALUES (4)', f"ALTER TABLE {table} CREATE TAG three")
    for version, ids in [("one", [1]), ("dev", [1, 2, 4]), ("three", [1, 3])]:
        query = f"SELECT id FROM iceberg.{table} VERSION AS OF '{version}' ORDER BY id"
        assert [row["id"] for row in both.spark(query)] == [row["id"] for row in both.fjord(query)] == ids, version
    first = both.spark(f"SELECT snapshot_id FROM iceberg.{table}.snapshots ORDER BY committed_at")[0]["snapshot_id"]
    query = f"SELECT id FROM iceberg.{table} VERSION AS OF {first}"
    assert both.spark(query) == both.fjord(query) == [{"id": 1}]


def test_what_spark_compacted_and_expired(both):
    table = "s.compacted"
    both.spark(
        f"CREATE TABLE iceberg.{table} (id bigint, p string) USING iceberg PARTITIONED BY (p) TBLPROPERTIES ({modes('merge-on-read')})",
        *[f"INSERT INTO iceberg.{table} SELECT id + {n * 10}, CAST(id % 2 AS string) FROM range(10)" for n in range(4)],
        f"DELETE FROM iceberg.{table} WHERE id % 5 = 0",
    )
    both.fjord(f"INSERT INTO {table} VALUES (900, '0'), (901, '1')")
    before = both.same(table, count=34)
    both.spark(f"CALL iceberg.system.rewrite_data_files(table => '{table}', options => map('min-input-files', '2', 'delete-file-threshold', '1'))")
    assert both.same(table, count=34) == before
    both.spark(f"CALL iceberg.system.expire_snapshots(table => '{table}', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)")
    assert both.same(table, count=34) == before
    both.fjord(f"INSERT INTO {table} VALUES (902, '0')")
    both.same(table, count=35)
