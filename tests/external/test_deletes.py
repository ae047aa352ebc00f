"""Rows that other engines deleted: Fjord's answers are those of the engine that deleted them."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import iceberg_java  # noqa: F401  (the fixture's program)

PRIMITIVES = {"id": "long", "k": "int", "p": "string"}


def schema(**columns):
    """A schema as Iceberg's JSON, with field ids from 1."""
    fields = [
        {"id": n, "name": name, "required": False, "type": type}
        for n, (name, type) in enumerate(columns.items(), 1)
    ]
    return {"type": "struct", "schema-id": 0, "fields": fields}


def ids(rows):
    return sorted(row["id"] for row in rows)


def check(lake, java, name="s.t", expected=None):
    """Every way of asking gives the rows that Iceberg Java gives."""
    kept = ids(java("read", name))
    if expected is not None:
        assert kept == sorted(expected), "the test's own idea of what is left"
    assert ids(lake.sql(f"SELECT id FROM {name};")) == kept
    answers = lake.sql(
        f"""
        SELECT count(*) AS n FROM {name};
        SELECT count(*) AS n, min(id) AS low, max(id) AS high, sum(id) AS total FROM {name};
        SELECT count(*) AS n FROM (SELECT id FROM {name} LIMIT {max(len(kept) - 1, 0)});
        SELECT count(*) AS n FROM (SELECT 1 FROM {name} LIMIT 1000000);
        SELECT count(*) AS n FROM {name} WHERE id % 2 = 0;
        SELECT count(*) AS n FROM {name} WHERE id >= {kept[len(kept) // 2] if kept else 0};
        """
    )
    middle = kept[len(kept) // 2] if kept else 0
    assert [row["n"] for row in answers] == [
        len(kept), len(kept), max(len(kept) - 1, 0), len(kept),
        sum(n % 2 == 0 for n in kept), sum(n >= middle for n in kept),
    ]
    if kept:
        assert (answers[1]["low"], answers[1]["high"], answers[1]["total"]) == (kept[0], kept[-1], sum(kept))
    top = lake.sql(f"SELECT id FROM {name} ORDER BY id DESC LIMIT 3;")
    assert [row["id"] for row in top] == kept[::-1][:3]
    return kept


@pytest.mark.parametrize("partition_by", [[], ["p"]])
@pytest.mark.parametrize("each_file", [False, True])
def test_position_deletes_of_iceberg_java(lake, java, partition_by, each_file):
    java("create", "s.t", schema=schema(**PRIMITIVES), partition_by=partition_by)
    for start in (0, 100):
        java("append", "s.t", rows=[{"id": n, "k": n % 7, "p": "ab"[n % 2]} for n in range(start, start + 100)])
    gone = [0, 1, 2, 50, 99, 100, 150, 151, 199]
    java("delete_positions", "s.t", ids=gone[:5], each_file=each_file)
    java("delete_positions", "s.t", ids=gone[5:], each_file=each_file)
    check(lake, java, expected=set(range(200)) - set(gone))
    # What is appended afterwards is not touched.
    java("append", "s.t", rows=[{"id": 500, "k": 0, "p": "a"}])
    lake.sql("INSERT INTO s.t VALUES (501, 1, 'b');")
    check(lake, java, expected=(set(range(200)) - set(gone)) | {500, 501})


@pytest.mark.parametrize("partition_by", [[], ["p"]])
def test_deletion_vectors_of_iceberg_java(lake, java, partition_by):
    java("create", "s.t", schema=schema(**PRIMITIVES), partition_by=partition_by, format="3")
    for start in (0, 100):
        java("append", "s.t", rows=[{"id": n, "k": n % 7, "p": "ab"[n % 2]} for n in range(start, start + 100)])
    java("delete_vector", "s.t", ids=[3, 4, 5, 77])
    check(lake, java, expected=set(range(200)) - {3, 4, 5, 77})
    java("delete_vector", "s.t", ids=[6, 150, *range(100, 120)])
    check(lake, java, expected=set(range(200)) - {3, 4, 5, 6, 77, 150, *range(100, 120)})


def test_a_deletion_vector_takes_up_position_deletes_of_format_2(lake, java):
    java("create", "s.t", schema=schema(**PRIMITIVES))
    java("append", "s.t", rows=[{"id": n, "k": n % 7, "p": "a"} for n in range(50)])
    java("append", "s.t", rows=[{"id": n, "k": n % 7, "p": "a"} for n in range(50, 100)])
    java("delete_positions", "s.t", ids=[1, 2, 60])
    java("alter", "s.t", format="3")
    check(lake, java, expected=set(range(100)) - {1, 2, 60})
    java("delete_vector", "s.t", ids=[3])
    check(lake, java, expected=set(range(100)) - {1, 2, 3, 60})


def test_equality_deletes_reach_only_older_rows_of_their_partition(lake, java):
    java("create", "s.t", schema=schema(**PRIMITIVES), partition_by=["p"])
    rows = lambda start: [{"id": n, "k": n % 10, "p": "ab"[n % 2]} for n in range(start, start + 40)]
    java("append", "s.t", rows=rows(0))
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 3}, {"k": 4}], partition="p=a")
    java("append", "s.t", rows=rows(40))
    # Odd numbers are in partition b.
    check(lake, java, expected=[n for n in range(80) if not (n < 40 and n % 10 == 4)])
    java("delete_equal", "s.t", by=["k", "id"], rows=[{"k": 4, "id": 44}, {"k": 5, "id": 46}], partition="p=a")
    java("delete_equal", "s.t", by=["id"], rows=[{"id": 41}, {"id": 42}], partition="p=b")
    check(lake, java, expected=[n for n in range(80) if not (n < 40 and n % 10 == 4) and n not in (41, 44)])


def test_equality_deletes_of_a_spec_without_partitions_are_global(lake, java):
    java("create", "s.t", schema=schema(**PRIMITIVES))
    java("append", "s.t", rows=[{"id": n, "k": n % 10, "p": "ab"[n % 2]} for n in range(20)])
    java("alter", "s.t", partition_add=["p"])
    java("append", "s.t", rows=[{"id": n, "k": n % 10, "p": "ab"[n % 2]} for n in range(20, 40)])
    java("delete_equal", "s.t", spec=0, by=["k"], rows=[{"k": 5}])
    check(lake, java, expected=[n for n in range(40) if n % 10 != 5])
    # All fields void is without partitions as well.
    spec = java("alter", "s.t", partition_drop=["p"])
    java("delete_equal", "s.t", spec=spec, by=["k"], rows=[{"k": 6}])
    check(lake, java, expected=[n for n in range(40) if n % 10 not in (5, 6)])


def test_null_keys_equal_null_and_columns_added_later_are_null(lake, java):
    java("create", "s.t", schema=schema(id="long", k="int"))
    java("append", "s.t", rows=[{"id": 1, "k": None}, {"id": 2, "k": 5}, {"id": 3, "k": None}])
    java("alter", "s.t", add={"extra": "string"})
    java("append", "s.t", rows=[{"id": 4, "k": None, "extra": "x"}, {"id": 5, "k": None}])
    java("delete_equal", "s.t", by=["k", "extra"], rows=[{"k": None, "extra": "x"}, {"k": 5, "extra": None}])
    check(lake, java, expected=[1, 3, 5])
    java("delete_equal", "s.t", by=["extra"], rows=[{"extra": None}])
    check(lake, java, expected=[])


def test_keys_that_were_renamed_promoted_and_read_in_another_order(lake, java):
    java("create", "s.t", schema=schema(id="long", k="int", f="float"))
    java("append", "s.t", rows=[{"id": n, "k": n, "f": n / 2} for n in range(10)])
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 1}, {"k": 2}])
    java("delete_equal", "s.t", by=["f"], rows=[{"f": 1.5}])
    java("alter", "s.t", rename={"k": "key"})
    java("alter", "s.t", promote={"key": "long", "f": "double"})
    java("append", "s.t", rows=[{"id": 10 + n, "key": n, "f": n / 2} for n in range(10)])
    java("delete_equal", "s.t", by=["f", "key"], rows=[{"f": 2.0, "key": 4}, {"f": 2.5, "key": 6}])
    check(lake, java, expected=[0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19])
    rows = lake.sql("SELECT key FROM s.t WHERE id < 10 ORDER BY key;")
    assert [row["key"] for row in rows] == [0, 5, 6, 7, 8, 9]


def test_a_key_column_that_was_dropped_still_deletes(lake, java):
    java("create", "s.t", schema=schema(id="long", k="int", v="string"))
    java("append", "s.t", rows=[{"id": n, "k": n, "v": f"v{n}"} for n in range(10)])
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 1}, {"k": 2}])
    before = ids(java("read", "s.t"))
    java("alter", "s.t", drop=["k"])
    java("alter", "s.t", add={"k": "int"})
    # Iceberg Java cannot read the table any more: it looks for the column in the present schema.
    rows = lake.sql("SELECT * FROM s.t ORDER BY id; SELECT count(*) AS n FROM s.t; SELECT id FROM s.t WHERE v = 'v2';")
    assert [row["id"] for row in rows[:-1]] == before == [0, 3, 4, 5, 6, 7, 8, 9]
    assert rows[-1] == {"n": 8} and rows[0] == {"id": 0, "v": "v0", "k": None}


def plain_rows(lake, java, tmp_path):
    """A table whose one data file has no field ids (PyIceberg adds it, with a name mapping), and keys that
    Iceberg Java deleted: the rows that are left."""
    java("create", "s.t", schema=schema(id="long", k="int", v="string"))
    plain = tmp_path / "plain.parquet"
    rows = [{"id": n, "k": n, "v": f"v{n}"} for n in range(10)]
    types = pa.schema([("id", pa.int64()), ("k", pa.int32()), ("v", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema=types), plain)
    lake.table("s.t").add_files([f"file://{plain}"])
    assert "schema.name-mapping.default" in lake.table("s.t").properties
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 1}, {"k": 2}])
    java("append", "s.t", rows=[{"id": 10, "k": 1, "v": "v10"}])
    return check(lake, java, expected=[0, *range(3, 11)])


def test_a_dropped_key_deletes_from_files_without_ids(lake, java, tmp_path):
    kept = plain_rows(lake, java, tmp_path)
    same = lambda: ids(lake.sql("SELECT id FROM s.t;")) == kept
    java("alter", "s.t", rename={"k": "key"})
    check(lake, java, expected=kept)
    java("alter", "s.t", drop=["key"])
    assert same(), "dropped"
    # Iceberg Java gives the name to the new column, in the name mapping too.
    java("alter", "s.t", add={"k": "int"})
    java("alter", "s.t", add={"key": "string"})
    assert same(), "added again"
    assert lake.sql("SELECT count(*) AS n FROM s.t WHERE v = 'v2' OR v = 'v10';") == [{"n": 1}]
    lake.sql("ALTER TABLE s.t DROP COLUMN k; ALTER TABLE s.t DROP COLUMN key;")
    assert same(), "dropped again"


def test_a_dropped_key_deletes_whatever_became_of_the_name_mapping(lake, java, tmp_path):
    kept = plain_rows(lake, java, tmp_path)
    lake.sql("ALTER TABLE s.t DROP COLUMN k;")
    with lake.table("s.t").transaction() as transaction:
        mapping = [{"field-id": 1, "names": ["id"]}, {"field-id": 3, "names": ["v"]}]
        transaction.set_properties({"schema.name-mapping.default": json.dumps(mapping)})
    assert ids(lake.sql("SELECT id FROM s.t;")) == kept
    with lake.table("s.t").transaction() as transaction:
        transaction.remove_properties("schema.name-mapping.default")
    assert ids(lake.sql("SELECT id FROM s.t;")) == kept


def test_a_key_within_a_struct_deletes(lake, java):
    inner = {"type": "struct", "fields": [
        {"id": 10, "name": "a", "required": False, "type": "int"},
        {"id": 11, "name": "b", "required": False, "type": "string"},
    ]}
    java("create", "s.t", schema=schema(id="long", s=inner))
    java("append", "s.t", rows=[{"id": n, "s": {"a": n, "b": f"b{n}"}} for n in range(5)] + [{"id": 9, "s": None}])
    java("delete_equal", "s.t", by=["s.b"], rows=[{"s": {"b": "b1"}}, {"s": {"b": "b3"}}])
    check(lake, java, expected=[0, 2, 4, 9])


KEYS = {
    "int": [1, -1, 2147483647, None],
    "long": [1, -(2**63), 2**63 - 1, None],
    "string": ["", "a", "a string longer than twelve bytes", "ünïcödé", None],
    "boolean": [True, False, None],
    "decimal(9, 2)": ["1.00", "-0.01", "9999999.99", None],
    "decimal(20, 3)": ["1.000", "-12345678901234567.891", None],
    "decimal(38, 0)": ["1", "-99999999999999999999999999999999999999", None],
    "date": ["1969-12-31", "2024-02-29", None],
    "time": ["00:00:00", "23:59:59.999999", None],
    "timestamp": ["1969-12-31T23:59:59.999999", "2024-02-29T12:00:00", None],
    "timestamptz": ["1969-12-31T23:59:59.999999Z", "2024-02-29T12:00:00Z", None],
    "uuid": ["f79c3e09-677c-4bbd-a479-3f349cb785e7", "00000000-0000-0000-0000-000000000000", None],
    "binary": ["", "00", "ff00ff", None],
    "fixed[3]": ["000000", "ff00ff", None],
    "float": ["0.0", "-0.0", "NaN", "1.5", "Infinity", None],
    "double": ["0.0", "-0.0", "NaN", "0.1", "-Infinity", None],
}


@pytest.mark.parametrize("type", KEYS)
def test_keys_of_every_type_compare_as_iceberg_java_compares_them(lake, java, type):
    values = KEYS[type]
    for n, value in enumerate(values):
        java("create", f"s.t{n}", schema=schema(id="long", k=type))
        rows = [{"id": i, "k": v} for i, v in enumerate(values * 2)]
        # Iceberg Java's bounds of several uuids exclude keys that are there: a file for each value.
        for part in ([[row] for row in rows] if type == "uuid" else [rows]):
            java("append", f"s.t{n}", rows=part)
        java("delete_equal", f"s.t{n}", by=["k"], rows=[{"k": value}])
        kept = ids(java("read", f"s.t{n}"))
        assert len(kept) == 2 * len(values) - 2, "each value is there twice"
        assert ids(lake.sql(f"SELECT id FROM s.t{n};")) == kept, f"deleted {value}"


def test_every_kind_of_delete_in_one_table(lake, java):
    java("create", "s.t", schema=schema(**PRIMITIVES), partition_by=["p"])
    rows = lambda start, end: [{"id": n, "k": n % 10, "p": "ab"[n % 2]} for n in range(start, end)]
    java("append", "s.t", rows=rows(0, 1000))
    java("delete_positions", "s.t", ids=list(range(0, 1000, 13)))
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 4}], partition="p=a")
    java("append", "s.t", rows=rows(1000, 2000))
    java("delete_positions", "s.t", ids=list(range(1500, 1600)), each_file=True)
    java("delete_equal", "s.t", by=["id"], rows=[{"id": n} for n in range(1, 2000, 101)], partition="p=b")
    java("alter", "s.t", format="3")
    check(lake, java)
    java("delete_vector", "s.t", ids=list(range(0, 2000, 17)))
    kept = check(lake, java)
    # Through filters that prune, and by partition.
    rows = lake.sql("SELECT id FROM s.t WHERE p = 'b' AND id BETWEEN 900 AND 1100 ORDER BY id;")
    assert [row["id"] for row in rows] == [n for n in kept if n % 2 == 1 and 900 <= n <= 1100]


def test_a_bad_row_that_was_deleted_fails_no_query(lake, java):
    """Rows are deleted so that queries over the others work: nothing may be evaluated on them."""
    for name, kind in (("e", "delete_equal"), ("p", "delete_positions")):
        java("create", f"s.{name}", schema=schema(id="long", d="long", v="string"))
        java("append", f"s.{name}", rows=[{"id": n, "d": n % 50, "v": "bad" if n % 50 == 0 else str(n)} for n in range(100)])
        if kind == "delete_equal":
            java(kind, f"s.{name}", by=["d"], rows=[{"d": 0}])
        else:
            java(kind, f"s.{name}", ids=[0, 50])
        rows = lake.sql(
            f"""
            SELECT count(*) AS n FROM s.{name} WHERE 100 / d > 0;
            SELECT sum(100 / d) AS n FROM s.{name};
            SELECT count(*) AS n FROM s.{name} WHERE CAST(v AS bigint) >= 0;
            """
        )
        assert rows[0]["n"] == 98 and rows[2]["n"] == 98
        assert rows[1]["n"] == 2 * sum(100 // d for d in range(1, 50))


def count_deleted(lake, statement):
    """Runs a DELETE; the number of rows that it says it deleted."""
    out = lake.run("sql", "-c", statement)
    found = re.findall(r"(\d+) rows? affected", out.stdout + out.stderr)
    assert len(found) == 1, out
    return int(found[0])


@pytest.mark.parametrize("format", ["2", "3"])
def test_delete_counts_rows_that_are_left_and_drops_deletes_that_dangle(lake, java, format):
    java("create", "s.t", schema=schema(**PRIMITIVES), partition_by=["p"], format=format)
    java("append", "s.t", rows=[{"id": n, "k": n % 10, "p": "ab"[n % 2]} for n in range(100)])
    java("delete_positions" if format == "2" else "delete_vector", "s.t", ids=[0, 2, 4, 1])
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 6}], partition="p=a")
    # Partition a had 50 rows: three went by position, ten by key.
    assert count_deleted(lake, "DELETE FROM s.t WHERE p = 'a'") == 37
    check(lake, java, expected=[n for n in range(3, 100, 2)])
    summary = lake.table("s.t").current_snapshot().summary
    assert summary["deleted-records"] == "50" and summary["total-data-files"] == "1"
    # A vector names its file and goes with it. Iceberg Java's position deletes of format 2 do not say in
    # metadata which file they name: they stay until no data file is as old as they are, as keys do.
    if format == "3":
        assert (summary["total-delete-files"], summary["total-position-deletes"]) == ("2", "1")
        assert summary["removed-delete-files"] == summary["removed-dvs"] == "1"
        assert summary["removed-position-deletes"] == "3"
    else:
        assert (summary["total-delete-files"], summary["total-position-deletes"]) == ("3", "4")
    assert summary["total-equality-deletes"] == "1"
    assert count_deleted(lake, "DELETE FROM s.t") == 49
    check(lake, java, expected=[])
    summary = lake.table("s.t").current_snapshot().summary
    for key in ("total-delete-files", "total-position-deletes", "total-equality-deletes", "total-records"):
        assert summary[key] == "0", key
    lake.sql("INSERT INTO s.t VALUES (6, 6, 'a');")
    check(lake, java, expected=[6])


def test_an_overwritten_partition_does_not_bring_deleted_rows_back(lake, java):
    java("create", "s.t", schema=schema(**PRIMITIVES), partition_by=["p"], format="3")
    java("append", "s.t", rows=[{"id": n, "k": n % 10, "p": "ab"[n % 2]} for n in range(100)])
    java("delete_vector", "s.t", ids=[0, 2, 4, 1])
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 6}], partition="p=a")
    lake.sql("INSERT OVERWRITE s.t SELECT * FROM s.t WHERE p = 'a';")
    kept = check(lake, java, expected=[n for n in range(100) if n not in (0, 1, 2, 4) and n % 10 != 6])
    lake.sql("CREATE TABLE s.copy AS SELECT * FROM s.t;")
    assert ids(lake.sql("SELECT id FROM s.copy;")) == kept


def test_position_deletes_read_as_pyiceberg_and_duckdb_read_them(lake, java, duck):
    java("create", "s.t", schema=schema(**PRIMITIVES), partition_by=["p"])
    java("append", "s.t", rows=[{"id": n, "k": n % 10, "p": "ab"[n % 2]} for n in range(1000)])
    java("delete_positions", "s.t", ids=list(range(0, 1000, 7)))
    kept = check(lake, java)
    assert sorted(lake.table("s.t").scan().to_arrow()["id"].to_pylist()) == kept
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 3}], partition="p=b")
    kept = check(lake, java)
    found = duck.execute(f"SELECT id FROM iceberg_scan('{lake.metadata_file('s.t')}') ORDER BY id").fetchall()
    assert [n for (n,) in found] == kept
