"""Tables that one engine evolved and appended to, read by the others: schema, partition specs, sort order, defaults, files without ids."""

import datetime as dt
import json

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, IsNull, LessThan
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import DoubleType, IntegerType, LongType, StringType

NAME_MAPPING = "schema.name-mapping.default"


def rows_of(arrow, *columns):
    return sorted((tuple(row[c] for c in columns) for row in arrow.to_pylist()), key=repr)


def duck_rows(duck, lake, name, *columns):
    picked = ", ".join(f'"{column}"' for column in columns)
    result = duck.execute(f"SELECT {picked} FROM iceberg_scan('{lake.metadata_file(name)}')")
    return sorted(result.fetchall(), key=repr)


def fjord_rows(lake, name, *columns):
    rows = lake.sql(f"SELECT {', '.join(columns)} FROM {name};")
    return sorted((tuple(row[c] for c in columns) for row in rows), key=repr)


def test_what_fjord_evolved_the_others_read(lake, duck):
    """Renamed, dropped, re-added, widened, reordered, nested, under three partition specs and a sort order."""
    lake.sql("""
        CREATE SCHEMA s;
        CREATE TABLE s.t (id int, name varchar, region varchar, at timestamp, price decimal(8, 2),
                          place row(x int, gone varchar)) WITH (partitioning = ARRAY['region']);
        INSERT INTO s.t VALUES (1, 'a', 'eu', TIMESTAMP '2026-01-01 10:00:00', 1.25, named_struct('x', 1, 'gone', 'g')),
                               (2, 'b', NULL, NULL, NULL, NULL);
        ALTER TABLE s.t RENAME COLUMN name TO label;
        ALTER TABLE s.t ADD COLUMN name varchar FIRST;
        ALTER TABLE s.t ALTER COLUMN id TYPE bigint, ALTER COLUMN price TYPE decimal(12, 2);
        ALTER TABLE s.t DROP COLUMN place.gone, ADD COLUMN place.y double FIRST, RENAME COLUMN place.x TO left_x;
        ALTER TABLE s.t ALTER COLUMN place.left_x TYPE bigint;
        ALTER TABLE s.t ADD PARTITION FIELD month(at);
        INSERT INTO s.t (id, name, label, region, at, price, place) VALUES
          (5000000000, 'n', 'c', 'eu', TIMESTAMP '2026-02-01 00:00:00', 1234567890.25, named_struct('y', 0.5, 'left_x', 2)),
          (4, 'n', 'd', 'us', TIMESTAMP '2026-02-02 00:00:00', 4.00, NULL);
        ALTER TABLE s.t DROP PARTITION FIELD region, ALTER COLUMN region LAST;
        ALTER TABLE s.t REPLACE PARTITION FIELD month(at) WITH bucket(4, id);
        ALTER TABLE s.t WRITE ORDERED BY label DESC;
        INSERT INTO s.t (id, label, region) VALUES (6, 'f', 'us'), (7, 'g', 'eu');
    """)
    table = lake.table("s.t")
    assert len(table.specs()) == 4
    assert table.sort_order().fields[0].source_id == table.schema().find_field("label").field_id
    assert [f.name for f in table.schema().fields] == ["name", "id", "label", "at", "price", "place", "region"]
    columns = ["id", "name", "label", "region", "at", "price", "place"]
    arrow = table.scan().to_arrow()
    expected = rows_of(arrow, *columns)
    assert len(expected) == 6
    by_id = {row[0]: row for row in expected}
    assert by_id[1][1:4] == (None, "a", "eu") and by_id[1][6] == {"y": None, "left_x": 1}
    assert by_id[5000000000][6] == {"y": 0.5, "left_x": 2}
    assert duck_rows(duck, lake, "s.t", *columns) == expected
    found = {row["id"]: row["place"] for row in lake.sql("SELECT id, place FROM s.t;")}
    assert found == {row[0]: row[6] for row in expected}
    # PyIceberg prunes by our tuples of each spec.
    for flt, ids in [
        (EqualTo("region", "eu"), [1, 7, 5000000000]),
        (IsNull("region"), [2]),
        (EqualTo("id", 7), [7]),
        (And(GreaterThanOrEqual("at", "2026-02-01T00:00:00"), LessThan("at", "2026-03-01T00:00:00")), [4, 5000000000]),
    ]:
        assert sorted(table.scan(row_filter=flt).to_arrow()["id"].to_pylist()) == ids, flt


def test_what_pyiceberg_evolved_fjord_reads_and_appends_to(lake):
    lake.sql("CREATE SCHEMA s;")
    catalog = lake.catalog()
    schema = pa.schema([
        ("id", pa.int32()), ("kind", pa.string()), ("at", pa.timestamp("us")),
        ("s", pa.struct([("a", pa.int32()), ("b", pa.string())])), ("l", pa.list_(pa.struct([("p", pa.int32())]))),
    ])
    table = catalog.create_table("s.t", schema=schema)
    day = lambda d: dt.datetime(2026, 1, d)
    table.append(pa.Table.from_pylist(
        [{"id": 1, "kind": "x", "at": day(1), "s": {"a": 1, "b": "b"}, "l": [{"p": 1}]},
         {"id": 2, "kind": None, "at": None, "s": None, "l": None}], schema=schema))
    with table.update_spec() as spec:
        spec.add_field("kind", IdentityTransform(), "kind")
    table.append(pa.Table.from_pylist([{"id": 3, "kind": "y", "at": day(2), "s": {"a": 2, "b": "c"}, "l": []}], schema=schema))
    with table.update_schema() as update:
        update.rename_column("kind", "flavour")
        update.update_column("id", LongType())
        update.update_column(("s", "a"), LongType())
        update.rename_column(("s", "b"), "bb")
        update.add_column(("s", "d"), DoubleType())
        update.add_column(("l", "element", "q"), StringType())
        update.add_column("b", IntegerType(), doc="new")
        update.move_first("at")
        update.move_after("b", "at")
    with table.update_spec() as spec:
        spec.remove_field("kind")
        spec.add_field("at", DayTransform(), "at_day")
    lake.sql("""
        INSERT INTO s.t (id, flavour, at, b, s, l) VALUES
          (5000000000, 'x', TIMESTAMP '2026-01-04 00:00:00', 7, named_struct('a', 5000000000, 'bb', 'z', 'd', 0.5), make_array(named_struct('p', 9, 'q', 'q')));
        ALTER TABLE s.t REPLACE PARTITION FIELD at_day WITH bucket(8, id);
        INSERT INTO s.t (id, flavour) VALUES (6, 'y');
    """)
    table = lake.table("s.t")
    assert len(table.specs()) == 4
    with table.update_spec() as spec:  # PyIceberg alone appends to nothing but identity partitions
        spec.remove_field("id_bucket")
        spec.add_identity("flavour")
    table.append(pa.Table.from_pylist([{"id": 8, "flavour": "w", "at": day(8)}], schema=table.schema().as_arrow()))
    columns = ["id", "flavour", "b", "s"]
    expected = rows_of(lake.table("s.t").scan().to_arrow(), *columns)
    assert [row[0] for row in expected] == sorted([1, 2, 3, 5000000000, 6, 8], key=repr)
    assert fjord_rows(lake, "s.t", *columns) == expected
    for where, ids in [
        ("flavour = 'x'", [1, 5000000000]), ("flavour IS NULL", [2]), ("id = 6", [6]), ("s['a'] = 5000000000", [5000000000]),
        ("at >= TIMESTAMP '2026-01-02 00:00:00' AND at < TIMESTAMP '2026-01-05 00:00:00'", [3, 5000000000]), ("at IS NULL", [2, 6]),
    ]:
        rows = lake.sql(f"SELECT id FROM s.t WHERE {where} ORDER BY id;")
        assert [row["id"] for row in rows] == ids, where


def test_files_without_ids_are_read_alike_after_their_columns_were_renamed(lake, tmp_path):
    """PyIceberg adds plain Parquet files by a name mapping; Fjord renames, drops and adds again."""
    lake.sql("CREATE SCHEMA s;")
    schema = pa.schema([("id", pa.int64()), ("a", pa.string()), ("s", pa.struct([("x", pa.int64())]))])
    table = lake.catalog().create_table("s.t", schema=schema)
    plain = str(tmp_path / "plain.parquet")
    pq.write_table(pa.Table.from_pylist([{"id": 1, "a": "old", "s": {"x": 10}}, {"id": 2, "a": None, "s": None}], schema=schema), plain)
    table.add_files([f"file://{plain}"])
    assert NAME_MAPPING in lake.table("s.t").properties
    lake.sql("""
        ALTER TABLE s.t RENAME COLUMN a TO b;
        ALTER TABLE s.t RENAME COLUMN s.x TO y;
        ALTER TABLE s.t RENAME COLUMN s TO place;
        ALTER TABLE s.t ADD COLUMN a varchar;
        ALTER TABLE s.t ADD COLUMN fresh int;
        INSERT INTO s.t (id, a, b, place, fresh) VALUES (3, 'new a', 'new b', named_struct('y', 30), 7);
    """)
    columns = ["id", "a", "b", "place", "fresh"]
    expected = [(1, None, "old", {"y": 10}, None), (2, None, None, None, None), (3, "new a", "new b", {"y": 30}, 7)]
    assert fjord_rows(lake, "s.t", *columns) == expected
    assert rows_of(lake.table("s.t").scan().to_arrow(), *columns) == expected
    mapping = json.loads(lake.table("s.t").properties[NAME_MAPPING])
    assert [entry["names"] for entry in mapping] == [["id"], ["a", "b"], ["s", "place"], ["fresh"]]
    # The dropped column's values do not come back under its name.
    lake.sql("ALTER TABLE s.t DROP COLUMN b; ALTER TABLE s.t ADD COLUMN b varchar;")
    assert fjord_rows(lake, "s.t", "id", "b") == [(1, None), (2, None), (3, None)]
    assert rows_of(lake.table("s.t").scan().to_arrow(), "id", "b") == [(1, None), (2, None), (3, None)]


def test_defaults_and_the_upgrade_to_format_3_are_read_alike(lake, duck):
    lake.sql("""
        CREATE SCHEMA s;
        CREATE TABLE s.t (id bigint, p varchar) WITH (partitioning = ARRAY['p']);
        INSERT INTO s.t VALUES (1, 'a'), (2, 'b');
        ALTER TABLE s.t SET PROPERTIES format_version = 3;
        ALTER TABLE s.t ADD COLUMN n int NOT NULL DEFAULT 7, ADD COLUMN label varchar DEFAULT 'was';
        INSERT INTO s.t (id, p) VALUES (3, 'a');
        ALTER TABLE s.t ALTER COLUMN n SET DEFAULT 8, ALTER COLUMN label DROP DEFAULT;
        INSERT INTO s.t (id, p) VALUES (4, 'c');
    """)
    columns = ["id", "p", "n", "label"]
    expected = [(1, "a", 7, "was"), (2, "b", 7, "was"), (3, "a", 7, "was"), (4, "c", 8, None)]
    assert fjord_rows(lake, "s.t", *columns) == expected
    table = lake.table("s.t")
    assert table.metadata.format_version == 3
    assert rows_of(table.scan().to_arrow(), *columns) == expected
    assert duck_rows(duck, lake, "s.t", *columns) == expected


def row_ranges(duck, metadata):
    """Row ids of every live file, as the specification has readers derive them: [(first, last + 1)]."""
    snapshot = next(s for s in metadata["snapshots"] if s["snapshot-id"] == metadata["current-snapshot-id"])
    path = snapshot["manifest-list"].removeprefix("file://")
    manifests = duck.execute(f"SELECT manifest_path, first_row_id FROM read_avro('{path}') WHERE content = 0").fetchall()
    ranges = {}
    for manifest, first in manifests:
        entries = duck.execute(
            f"SELECT status, data_file.file_path, data_file.record_count, data_file.first_row_id FROM read_avro('{manifest.removeprefix('file://')}')"
        ).fetchall()
        for status, file, rows, own in entries:
            if status == 2:
                continue
            start = own
            if own is None and first is not None:
                start, first = first, first + rows
            ranges[file] = (start, None if start is None else start + rows)
    return ranges


def test_row_ids_are_given_once_and_kept(lake, duck):
    """No row changes identity when manifests are filtered or merged, or when a table is upgraded."""
    lake.sql("""
        CREATE SCHEMA s;
        CREATE TABLE s.t (id bigint, p varchar) WITH (partitioning = ARRAY['p'], "commit.manifest.min-count-to-merge" = '2');
        INSERT INTO s.t VALUES (1, 'a'), (2, 'b'), (3, 'b');
        ALTER TABLE s.t SET PROPERTIES format_version = 3;
    """)
    before = {}
    for step in ["INSERT INTO s.t VALUES (4, 'c'), (5, 'a')", "INSERT INTO s.t VALUES (6, 'd')", "DELETE FROM s.t WHERE p = 'c'",
                 "ALTER TABLE s.t ADD PARTITION FIELD bucket(2, id)", "INSERT INTO s.t VALUES (7, 'a'), (8, 'b')",
                 "ALTER TABLE s.t ADD COLUMN n int DEFAULT 1", "INSERT INTO s.t VALUES (9, 'e', 2)"]:
        lake.sql(step + ";")
        metadata = json.load(open(lake.metadata_file("s.t")))
        ranges = row_ranges(duck, metadata)
        taken = sorted(r for r in ranges.values())
        assert all(r[0] is not None for r in taken), (step, ranges)
        assert all(a[1] <= b[0] for a, b in zip(taken, taken[1:])), (step, taken)
        assert taken[-1][1] <= metadata["next-row-id"], (step, taken)
        kept = {file: r for file, r in before.items() if file in ranges}
        assert kept == {file: ranges[file] for file in kept}, step
        before = ranges
    assert [row["id"] for row in lake.sql("SELECT id FROM s.t ORDER BY id;")] == [1, 2, 3, 5, 6, 7, 8, 9]


def test_the_source_of_an_older_spec_may_be_dropped(lake, duck):
    lake.sql("""
        CREATE SCHEMA s;
        CREATE TABLE s.t (id bigint, p varchar, v varchar) WITH (partitioning = ARRAY['p']);
        INSERT INTO s.t VALUES (1, 'a', 'x'), (2, 'b', 'y');
        ALTER TABLE s.t REPLACE PARTITION FIELD p WITH bucket(2, id);
        INSERT INTO s.t VALUES (3, 'a', 'z');
        ALTER TABLE s.t DROP COLUMN p;
        INSERT INTO s.t VALUES (4, 'w');
        DELETE FROM s.t WHERE v = 'y';
    """)
    expected = [(1, "x"), (3, "z"), (4, "w")]
    assert fjord_rows(lake, "s.t", "id", "v") == expected
    assert rows_of(lake.table("s.t").scan().to_arrow(), "id", "v") == expected
    assert duck_rows(duck, lake, "s.t", "id", "v") == expected
