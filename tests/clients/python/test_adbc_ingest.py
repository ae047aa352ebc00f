"""ADBC: bulk ingest in every mode (ADBC-11, ADBC-12)."""

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pytest
from adbc_driver_manager import AdbcStatusCode

from wire import Wire, command, encode, to_frames

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "who": ["a", None, "c"]})


def count(cursor, table):
    cursor.execute(f"SELECT count(*) FROM {table}")
    return cursor.fetchone()[0]


def snapshots(cursor, schema, table):
    cursor.execute(f'SELECT count(*) FROM {schema}."{table}$snapshots"')
    return cursor.fetchone()[0]


@pytest.mark.parametrize(
    ("mode", "onto_nothing", "onto_a_table"),
    [
        ("create", 3, AdbcStatusCode.ALREADY_EXISTS),
        ("append", AdbcStatusCode.NOT_FOUND, 6),
        ("replace", 3, 3),
        ("create_append", 3, 6),
    ],
)
def test_adbc_11_each_mode_on_nothing_and_on_a_table(cursor, schema, mode, onto_nothing, onto_a_table):
    def ingest(table):
        return cursor.adbc_ingest(table, ROWS, mode=mode, db_schema_name=schema)

    for table, expected in (("absent", onto_nothing), ("present", onto_a_table)):
        if table == "present":
            assert cursor.adbc_ingest(table, ROWS, mode="create", db_schema_name=schema) == 3
        if isinstance(expected, int) and not isinstance(expected, AdbcStatusCode):
            assert ingest(table) == 3
            assert count(cursor, f"{schema}.{table}") == expected
        else:
            with pytest.raises(flight_sql.Error) as caught:
                ingest(table)
            assert caught.value.status_code == expected, caught.value


def test_adbc_11_replace_takes_the_new_columns(cursor, schema):
    cursor.adbc_ingest("t", ROWS, mode="create", db_schema_name=schema)
    cursor.adbc_ingest("t", pa.table({"other": [1.5]}), mode="replace", db_schema_name=schema)
    cursor.execute(f"SELECT * FROM {schema}.t")
    assert cursor.fetch_arrow_table().to_pydict() == {"other": [1.5]}


def test_adbc_11_many_batches_are_one_commit(cursor, schema):
    batches = [pa.record_batch({"id": pa.array(range(n * 1000, n * 1000 + 1000), pa.int64())}) for n in range(50)]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    assert cursor.adbc_ingest("t", reader, mode="create", db_schema_name=schema) == 50_000
    cursor.execute(f"SELECT count(*), count(DISTINCT id), max(id) FROM {schema}.t")
    assert cursor.fetchone() == (50_000, 50_000, 49_999)
    assert snapshots(cursor, schema, "t") == 1


def test_adbc_11_columns_are_found_by_name_when_appending(cursor, schema):
    cursor.execute(f"CREATE TABLE {schema}.t (id bigint, who varchar, note varchar)")
    swapped = pa.table({"who": ["x"], "id": pa.array([9], pa.int64())})
    cursor.adbc_ingest("t", swapped, mode="append", db_schema_name=schema)
    cursor.execute(f"SELECT id, who, note FROM {schema}.t")
    assert cursor.fetchall() == [(9, "x", None)]


def test_adbc_11_a_type_that_no_table_has_is_refused_by_name(cursor, schema):
    strange = pa.table({"gap": pa.array([1], pa.duration("s"))})
    with pytest.raises(flight_sql.Error, match="gap"):
        cursor.adbc_ingest("t", strange, mode="create", db_schema_name=schema)
    with pytest.raises(flight_sql.Error):
        count(cursor, f"{schema}.t")


def test_adbc_11_an_ingest_cut_in_the_middle_leaves_the_table_as_it_was(open_server, wire, cursor, schema):
    cursor.adbc_ingest("t", ROWS, mode="create", db_schema_name=schema)
    cmd = command("CommandStatementIngest", {1: encode({1: 1, 2: 2}), 2: "t", 3: schema})

    def broken():
        frames = to_frames(cmd, ROWS)
        yield next(frames)
        yield next(frames)
        raise RuntimeError("the client dies here")

    with Wire(open_server) as other, pytest.raises(Exception):
        other.put(broken(), timeout=20)
    assert count(cursor, f"{schema}.t") == 3
    assert snapshots(cursor, schema, "t") == 1


def test_adbc_11_malformed_frames_are_an_error_and_the_server_lives(wire, schema):
    cmd = command("CommandStatementIngest", {1: encode({1: 1, 2: 2}), 2: "bad", 3: schema})
    frames = list(to_frames(cmd, ROWS))
    for cut in (b"", b"\x01\x02\x03", frames[0][: len(frames[0]) // 2]):
        with pytest.raises(Exception):
            wire.put([frames[0], cut, encode({2: b"\xff" * 64, 1000: b"\x00" * 64})], timeout=20)
    assert wire.rows("SELECT 1 AS n")["n"].to_pylist() == [1]


def test_adbc_12_one_message_of_fifteen_mebibytes_is_taken(cursor, schema):
    big = pa.table({"s": pa.array(["x" * 1000] * 15_000)})
    assert big.nbytes > 15_000_000 and len(big.to_batches()) == 1
    assert cursor.adbc_ingest("big", big, mode="create", db_schema_name=schema) == 15_000
    assert count(cursor, f"{schema}.big") == 15_000


def test_adbc_12_forty_mebibytes_go_in_chunks(cursor, schema):
    big = pa.table({"s": pa.array(["x" * 1000] * 40_000)})
    reader = pa.RecordBatchReader.from_batches(big.schema, big.to_batches(max_chunksize=8_000))
    assert cursor.adbc_ingest("big", reader, mode="create", db_schema_name=schema) == 40_000
