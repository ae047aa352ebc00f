"""Branches, tags and metadata tables: what Fjord writes others read, and the other way round."""

import pyarrow as pa
import pytest


def ids(table, reference):
    snapshot = table.snapshot_by_name(reference)
    return sorted(table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()["id"].to_pylist())


@pytest.fixture
def branched(lake):
    lake.sql(
        "CREATE SCHEMA s;"
        "CREATE TABLE s.t (id bigint, p int) PARTITIONED BY (p);"
        "INSERT INTO s.t VALUES (1, 1), (2, 2);"
        "ALTER TABLE s.t CREATE TAG v1 RETAIN 5 DAYS;"
        "ALTER TABLE s.t CREATE BRANCH audit RETAIN 7 DAYS WITH SNAPSHOT RETENTION 3 SNAPSHOTS 2 HOURS;"
        "INSERT INTO s.t.branch_audit VALUES (3, 3);"
        'DELETE FROM "s"."t@audit" WHERE p = 1;'
        "INSERT INTO s.t VALUES (4, 4);"
    )
    return lake


def test_others_read_branches_and_tags_that_fjord_wrote(branched, duck):
    table = branched.table("s.t")
    assert ids(table, "main") == [1, 2, 4]
    assert ids(table, "audit") == [2, 3]
    assert ids(table, "v1") == [1, 2]
    refs = table.refs()
    assert (refs["audit"].max_ref_age_ms, refs["audit"].min_snapshots_to_keep) == (7 * 86_400_000, 3)
    assert refs["audit"].max_snapshot_age_ms == 2 * 3_600_000
    assert refs["v1"].max_ref_age_ms == 5 * 86_400_000
    metadata = branched.metadata_file("s.t")
    for name in ("main", "audit", "v1"):
        snapshot = refs[name].snapshot_id
        query = f"SELECT id FROM iceberg_scan('{metadata}', snapshot_from_id={snapshot}) ORDER BY id"
        assert [row[0] for row in duck.execute(query).fetchall()] == ids(table, name)


def test_fjord_reads_and_extends_branches_that_pyiceberg_made(branched):
    table = branched.table("s.t")
    current = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_branch(current, "theirs").create_tag(current, "mark").commit()
    rows = pa.table({"id": pa.array([5], pa.int64()), "p": pa.array([5], pa.int32())})
    branched.table("s.t").append(rows, branch="theirs")
    assert branched.sql("SELECT id FROM s.t.branch_theirs ORDER BY id") == [{"id": n} for n in (1, 2, 4, 5)]
    branched.sql("INSERT INTO s.t.branch_theirs VALUES (6, 6); CALL system.fast_forward('s.t', 'main', 'theirs')")
    table = branched.table("s.t")
    assert ids(table, "main") == ids(table, "theirs") == [1, 2, 4, 5, 6]
    assert ids(table, "mark") == [1, 2, 4]
    branched.sql("ALTER TABLE s.t DROP BRANCH theirs; ALTER TABLE s.t DROP TAG mark")
    assert sorted(branched.table("s.t").refs()) == ["audit", "main", "v1"]


def test_a_cherry_picked_snapshot_is_one_that_others_understand(branched):
    staged = branched.table("s.t").refs()["audit"].snapshot_id
    added = branched.table("s.t").snapshot_by_id(staged).parent_snapshot_id
    branched.sql(f"CALL system.cherrypick_snapshot('s.t', {added})")
    table = branched.table("s.t")
    assert ids(table, "main") == [1, 2, 3, 4]
    assert table.current_snapshot().summary["source-snapshot-id"] == str(added)


def test_metadata_tables_say_what_pyiceberg_says(branched):
    inspect = branched.table("s.t").inspect

    def theirs(rows, *columns):
        return sorted(tuple(str(row[c]) for c in columns) for row in rows.to_pylist())

    def ours(name, *columns):
        shown = ", ".join(f"CAST({c} AS varchar) AS {c.split('.')[-1]}" for c in columns)
        rows = branched.sql(f'SELECT {shown} FROM "s"."t${name}"')
        return sorted(tuple(str(value) for value in row.values()) for row in rows)

    for name, rows, columns in [
        ("snapshots", inspect.snapshots(), ("snapshot_id", "parent_id", "operation", "manifest_list")),
        ("refs", inspect.refs(), ("name", "type", "snapshot_id", "max_reference_age_in_ms",
                                  "min_snapshots_to_keep", "max_snapshot_age_in_ms")),
        ("history", inspect.history(), ("snapshot_id", "parent_id")),
        ("files", inspect.files(), ("content", "file_path", "spec_id", "record_count", "file_size_in_bytes")),
        ("data_files", inspect.data_files(), ("file_path", "record_count")),
        ("all_files", inspect.all_files(), ("content", "file_path", "record_count")),
        ("all_data_files", inspect.all_data_files(), ("file_path", "record_count")),
        ("manifests", inspect.manifests(), ("content", "path", "length", "partition_spec_id", "added_snapshot_id",
                                            "added_data_files_count", "existing_data_files_count",
                                            "deleted_data_files_count")),
        ("all_manifests", inspect.all_manifests(), ("path", "reference_snapshot_id", "added_snapshot_id")),
        ("entries", inspect.entries(), ("status", "snapshot_id", "sequence_number", "file_sequence_number")),
        ("metadata_log_entries", inspect.metadata_log_entries(),
         ("file", "latest_snapshot_id", "latest_schema_id", "latest_sequence_number")),
        ("partitions", inspect.partitions(), ("spec_id", "record_count", "file_count",
                                              "total_data_file_size_in_bytes", "last_updated_snapshot_id")),
    ]:
        if name in ("all_files", "all_data_files"):
            # PyIceberg repeats a file for every snapshot that it is found in.
            assert set(ours(name, *columns)) == set(theirs(rows, *columns)), name
        else:
            assert ours(name, *columns) == theirs(rows, *columns), name
