"""PyIceberg writes through the same catalog file while Fjord runs, and each reads the other."""

import subprocess
import threading

import pyarrow as pa

from conftest import BINARY


def test_pyiceberg_appends_while_fjord_runs(lake):
    lake.sql("CREATE SCHEMA s; CREATE TABLE s.t (id bigint, who varchar);")
    shell = subprocess.Popen(
        [BINARY, "sql", "--format", "csv", "--data-dir", str(lake.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    try:
        shell.stdin.write("INSERT INTO s.t VALUES (1, 'fjord');\n")
        shell.stdin.flush()
        table = lake.table("s.t")
        table.append(pa.table({"id": pa.array([2], pa.int64()), "who": ["pyiceberg"]}))
        shell.stdin.write("INSERT INTO s.t VALUES (3, 'fjord');\nSELECT id, who FROM s.t ORDER BY id;\n")
        out, err = shell.communicate(timeout=60)
    finally:
        shell.kill()
    assert shell.returncode == 0, err
    rows = [line for line in out.splitlines() if line[:1].isdigit()]
    assert rows[-3:] == ["1,fjord", "2,pyiceberg", "3,fjord"], out
    assert sorted(lake.table("s.t").scan().to_arrow()["id"].to_pylist()) == [1, 2, 3]


def test_both_append_at_once_and_no_row_is_lost(lake):
    lake.sql("CREATE SCHEMA s; CREATE TABLE s.t (id bigint);")
    failures = []

    def pyiceberg():
        for n in range(10):
            for attempt in range(50):
                try:
                    lake.table("s.t").append(pa.table({"id": pa.array([100 + n], pa.int64())}))
                    break
                except Exception as e:  # PyIceberg gives up after a lost race; Fjord must not
                    if attempt == 49:
                        failures.append(e)

    thread = threading.Thread(target=pyiceberg)
    thread.start()
    lake.sql("".join(f"INSERT INTO s.t VALUES ({n});" for n in range(20)))
    thread.join()
    assert not failures
    rows = lake.sql("SELECT id FROM s.t ORDER BY id;")
    assert [r["id"] for r in rows] == [*range(20), *range(100, 110)]
    assert len(lake.table("s.t").snapshots()) == 30


def test_a_camel_case_column_answers_in_any_case(lake):
    lake.sql("CREATE SCHEMA s;")
    catalog = lake.catalog()
    catalog.create_table("s.people", schema=pa.schema([("customerId", pa.int64()), ("Name", pa.string())]))
    catalog.load_table("s.people").append(pa.table({"customerId": pa.array([1, 2], pa.int64()), "Name": ["a", "b"]}))
    rows = lake.sql(
        """
        INSERT INTO s.PEOPLE (CUSTOMERID, name) VALUES (3, 'c');
        CREATE VIEW s.v AS SELECT customerid, NAME FROM s.people WHERE CustomerID > 1;
        SELECT p.CUSTOMERID, v.name FROM s.people p JOIN s.v v ON p.customerid = v.CustomerId
        WHERE p.customerId < 9 ORDER BY p.customerid;
        """
    )
    assert [tuple(r.values()) for r in rows] == [(2, "b"), (3, "c")]
    assert list(lake.sql("SELECT * FROM s.people LIMIT 1;")[0]) == ["customerId", "Name"]
    assert lake.table("s.people").scan(row_filter="customerId = 3").to_arrow()["Name"].to_pylist() == ["c"]


def test_a_catalog_that_pyiceberg_made_opens_unchanged(lake):
    lake.path.mkdir(parents=True)
    catalog = lake.catalog()
    catalog.create_namespace("old")
    catalog.create_table("old.t", schema=pa.schema([("id", pa.int64())]))
    catalog.load_table("old.t").append(pa.table({"id": pa.array([7], pa.int64())}))
    assert lake.sql("SELECT * FROM old.t;") == [{"id": 7}]
    lake.sql("INSERT INTO old.t VALUES (8);")
    assert sorted(lake.table("old.t").scan().to_arrow()["id"].to_pylist()) == [7, 8]
    assert catalog.list_tables("old") == [("old", "t")]
