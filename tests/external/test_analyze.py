"""ANALYZE: the sketches in the Puffin file, as Apache's own DataSketches library reads and makes them."""

import json
import struct

import datasketches
import mmh3
from pyiceberg.conversions import to_bytes

ROWS = 20_000


def blobs(path):
    """The blobs of a Puffin file, by the specification: magic, blobs, footer."""
    data = open(path, "rb").read()
    assert data[:4] == data[-4:] == b"PFA1"
    length, flags = struct.unpack("<iI", data[-12:-4])
    assert flags == 0
    footer = data[-12 - length : -12]
    assert data[-16 - length : -12 - length] == b"PFA1"
    found = json.loads(footer)
    return {blob["fields"][0]: (blob, data[blob["offset"] :][: blob["length"]]) for blob in found["blobs"]}, length + 16


def test_sketches_are_those_that_datasketches_makes_of_icebergs_bytes(lake):
    lake.sql(
        "CREATE SCHEMA s;"
        "CREATE TABLE s.t (id bigint, n int, f real, d double, name varchar, price decimal(12, 2), day date,"
        " at timestamp, flag boolean, raw varbinary, u uuid);"
        "INSERT INTO s.t SELECT x, CAST(x % 300 AS int), CAST(x % 17 AS real), x * 1.5e0, CAST(x % 1000 AS varchar),"
        " CAST(x - 10000 AS decimal(12, 2)) / 4, DATE '1969-12-01' + CAST(x % 60 AS int),"
        " to_timestamp_micros(x * 1000003), x % 2 = 0, arrow_cast(CAST(x % 50 AS varchar), 'Binary'),"
        " CASE WHEN x % 3 = 0 THEN '00000000-0000-0000-0000-0000000000' || lpad(CAST(x % 90 AS varchar), 2, '0') END"
        f" FROM generate_series(1, {ROWS}) AS g(x);"
        "INSERT INTO s.t (name) VALUES (''), (NULL);"
        "ANALYZE s.t;"
    )
    table = lake.table("s.t")
    (statistics,) = table.metadata.statistics
    assert statistics.snapshot_id == table.current_snapshot().snapshot_id
    path = statistics.statistics_path.removeprefix("file://")
    found, footer = blobs(path)
    assert statistics.file_footer_size_in_bytes == footer
    rows = table.scan().to_arrow()
    types = {field.field_id: field for field in table.schema().fields}
    assert sorted(found) == sorted(types)
    for field_id, (blob, data) in found.items():
        field = types[field_id]
        ours = datasketches.compact_theta_sketch.deserialize(data)
        values = [value for value in rows[field.name].to_pylist() if value is not None and value != ""]
        # The seed, and the half of the hash, are DataSketches' own.
        hashes = {mmh3.hash64(to_bytes(field.field_type, v), 9001, signed=False)[0] >> 1 for v in values}
        assert set(ours) == {h for h in hashes if h < ours.theta64}, field.name
        assert blob["type"] == "apache-datasketches-theta-v1"
        if field.name in ("id", "d", "name"):
            theirs = datasketches.update_theta_sketch()
            for value in values:
                theirs.update(value)
            # Where a sketch begins to sample depends on the order of the values.
            both = min(ours.theta64, theirs.theta64)
            assert {h for h in ours if h < both} == {h for h in theirs if h < both}, field.name
        assert int(blob["properties"]["ndv"]) == int(ours.get_estimate()), field.name
    ndv = {types[b.fields[0]].name: int(b.properties["ndv"]) for b in statistics.blob_metadata}
    assert (ndv["n"], ndv["f"], ndv["day"], ndv["flag"], ndv["raw"], ndv["u"]) == (300, 17, 60, 2, 50, 30)
    assert 0.9 * ROWS < ndv["id"] < 1.1 * ROWS
    # A second count takes the place of the first.
    lake.sql("ANALYZE s.t WITH (columns = ARRAY['n'])")
    (again,) = lake.table("s.t").metadata.statistics
    assert [blob.fields for blob in again.blob_metadata] == [[types_id(types, "n")]]


def types_id(types, name):
    return next(field_id for field_id, field in types.items() if field.name == name)
