"""Schemas and partitionings that Iceberg Java and Fjord changed in turn: each reads what the other wrote before and after."""

import pytest

pytest.importorskip("iceberg_java", reason="needs the program in tests/writers")


def java_rows(java, name):
    return sorted(java("read", name), key=lambda row: row["id"])


def fjord_rows(lake, name):
    return lake.sql(f"SELECT * FROM {name} ORDER BY id;")


def schema(*fields):
    return {"type": "struct", "schema-id": 0, "fields": [
        {"id": number, "name": name, "required": False, "type": kind} for number, (name, kind) in enumerate(fields, 1)]}


def test_java_evolves_and_fjord_follows(lake, java):
    place = {"type": "struct", "fields": [
        {"id": 11, "name": "a", "required": False, "type": "int"}, {"id": 12, "name": "b", "required": False, "type": "string"}]}
    java("create", "s.t", schema=schema(("id", "int"), ("kind", "string"), ("n", "int"), ("place", place)), partition_by=["kind"])
    java("append", "s.t", rows=[{"id": 1, "kind": "x", "n": 1, "place": {"a": 1, "b": "b"}}, {"id": 2, "n": None}])
    java("alter", "s.t", rename={"n": "amount", "place.b": "c"}, promote={"id": "long", "place.a": "long"},
         add={"extra": "string"}, partition_add=["amount"])
    java("append", "s.t", rows=[{"id": 5000000000, "kind": "x", "amount": 2, "place": {"a": 5000000000, "c": "c"}, "extra": "e"}])
    java("alter", "s.t", drop=["extra"], partition_drop=["kind"])
    java("alter", "s.t", add={"extra": "int"})
    java("append", "s.t", rows=[{"id": 4, "kind": "y", "amount": 3, "extra": 7}])
    expected = java_rows(java, "s.t")
    assert [row["id"] for row in expected] == [1, 2, 4, 5000000000] and expected[3]["extra"] is None
    assert fjord_rows(lake, "s.t") == expected
    for where, ids in [("kind = 'x'", [1, 5000000000]), ("amount = 2", [5000000000]), ("kind IS NULL", [2]),
                       ("place['a'] = 5000000000", [5000000000]), ("extra = 7", [4]), ("amount IS NULL", [2])]:
        assert [row["id"] for row in lake.sql(f"SELECT id FROM s.t WHERE {where} ORDER BY id;")] == ids, where


def test_fjord_evolves_and_java_follows(lake, java):
    lake.sql("""
        CREATE TABLE s.t (id int, name varchar, region varchar, place row(x int, gone varchar)) WITH (partitioning = ARRAY['region']);
        INSERT INTO s.t VALUES (1, 'a', 'eu', named_struct('x', 1, 'gone', 'g')), (2, 'b', NULL, NULL);
        ALTER TABLE s.t RENAME COLUMN name TO label, ADD COLUMN name varchar FIRST, ALTER COLUMN id TYPE bigint;
        ALTER TABLE s.t DROP COLUMN place.gone, ADD COLUMN place.y int FIRST, ALTER COLUMN place.x TYPE bigint;
        ALTER TABLE s.t ADD PARTITION FIELD bucket(4, id);
        INSERT INTO s.t (id, name, label, region, place) VALUES (5000000000, 'n', 'c', 'eu', named_struct('y', 5, 'x', 5000000000));
        ALTER TABLE s.t DROP PARTITION FIELD region, WRITE ORDERED BY label DESC;
        INSERT INTO s.t (id, label, region) VALUES (4, 'd', 'us');
    """)
    expected = fjord_rows(lake, "s.t")
    assert [row["id"] for row in expected] == [1, 2, 4, 5000000000] and expected[0]["place"] == {"y": None, "x": 1}
    assert java_rows(java, "s.t") == expected
    java("append", "s.t", rows=[{"id": 6, "label": "java", "region": "eu"}])
    lake.sql("""
        ALTER TABLE s.t SET PROPERTIES format_version = 3;
        ALTER TABLE s.t ADD COLUMN n int NOT NULL DEFAULT 7, ADD COLUMN place.z varchar DEFAULT 'was';
        INSERT INTO s.t (id, label) VALUES (7, 'e');
        ALTER TABLE s.t ALTER COLUMN n SET DEFAULT 8;
        INSERT INTO s.t (id, label) VALUES (8, 'f');
    """)
    expected = fjord_rows(lake, "s.t")
    assert {row["id"]: row["n"] for row in expected} == {1: 7, 2: 7, 4: 7, 6: 7, 7: 7, 8: 8, 5000000000: 7}
    assert expected[0]["place"] == {"y": None, "x": 1, "z": "was"}
    assert java_rows(java, "s.t") == expected


def test_java_reads_after_the_source_of_an_older_spec_was_dropped(lake, java):
    lake.sql("""
        CREATE TABLE s.t (id bigint, p varchar, v varchar) WITH (partitioning = ARRAY['p']);
        INSERT INTO s.t VALUES (1, 'a', 'x'), (2, 'b', 'y');
        ALTER TABLE s.t REPLACE PARTITION FIELD p WITH bucket(2, id);
        INSERT INTO s.t VALUES (3, 'a', 'z');
        ALTER TABLE s.t DROP COLUMN p;
        INSERT INTO s.t VALUES (4, 'w');
        DELETE FROM s.t WHERE v = 'y';
    """)
    assert java_rows(java, "s.t") == fjord_rows(lake, "s.t")
