"""ADBC: what the driver asks about the server and its catalogs (ADBC-13 to ADBC-15)."""

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow as pa
import pytest
from adbc_driver_manager import AdbcStatusCode

from wire import command


@pytest.fixture
def shop(cursor, schema):
    cursor.execute(f"CREATE TABLE {schema}.orders (id bigint NOT NULL, total decimal(10, 2), at timestamp)")
    cursor.execute(f"CREATE TABLE {schema}.customers (name varchar)")
    cursor.execute(f"CREATE VIEW {schema}.big AS SELECT id FROM {schema}.orders")
    return schema


def objects(connection, schema, **filters):
    reader = connection.adbc_get_objects(db_schema_filter=schema, **filters)
    catalogs = {c["catalog_name"]: c["catalog_db_schemas"] for c in reader.read_all().to_pylist()}
    return catalogs


def test_adbc_13_the_driver_knows_vendor_and_versions(connection):
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Fjord"
    assert info["vendor_version"] and info["vendor_arrow_version"]
    assert info["driver_name"]


def test_adbc_13_all_codes_are_in_the_standard_union(wire):
    table = wire.table(wire.info(command("CommandGetSqlInfo")).ticket)
    assert table.schema.names == ["info_name", "value"]
    assert table.schema.field("info_name").type == pa.uint32()
    union = table.schema.field("value").type
    assert union.mode == "dense"
    assert [union.field(i).name for i in range(union.num_fields)] == [
        "string_value", "bool_value", "bigint_value", "int32_bitmask", "string_list", "int32_to_int32_list_map",
    ]
    rows = dict(zip(table["info_name"].to_pylist(), table["value"].to_pylist()))
    assert rows[0] == "Fjord" and rows[4] is True
    assert all(rows[code] is False for code in (5,) if code in rows)


@pytest.mark.parametrize("codes", [[0, 1, 2], [4], [5, 6, 7], [8]])
def test_adbc_13_only_the_codes_that_were_asked_come_back(wire, codes):
    table = wire.table(wire.info(command("CommandGetSqlInfo", {1: codes})).ticket)
    assert sorted(table["info_name"].to_pylist()) == codes


def test_adbc_14_objects_at_the_depth_of_catalogs(connection):
    catalogs = connection.adbc_get_objects(depth="catalogs").read_all().to_pylist()
    assert "iceberg" in [c["catalog_name"] for c in catalogs]


def test_adbc_14_objects_at_the_depth_of_schemas(connection, shop):
    found = objects(connection, shop, depth="db_schemas")
    assert [s["db_schema_name"] for s in found["iceberg"]] == [shop]


def test_adbc_14_objects_at_the_depth_of_tables(connection, shop):
    found = objects(connection, shop, depth="tables")
    tables = {t["table_name"]: t["table_type"] for t in found["iceberg"][0]["db_schema_tables"]}
    assert tables == {"orders": "BASE TABLE", "customers": "BASE TABLE", "big": "VIEW"}


def test_adbc_14_objects_at_the_depth_of_columns(connection, shop):
    found = objects(connection, shop, depth="all", table_name_filter="orders")
    (table,) = found["iceberg"][0]["db_schema_tables"]
    columns = [(c["column_name"], c["ordinal_position"], c["xdbc_is_nullable"]) for c in table["table_columns"]]
    assert [c[0] for c in columns] == ["id", "total", "at"]
    assert [c[1] for c in columns] == [1, 2, 3]


def test_adbc_14_filters_of_tables_and_types(connection, shop):
    found = objects(connection, shop, depth="tables", table_name_filter="o%")
    assert [t["table_name"] for t in found["iceberg"][0]["db_schema_tables"]] == ["orders"]
    found = objects(connection, shop, depth="tables", table_types_filter=["VIEW"])
    assert [t["table_name"] for t in found["iceberg"][0]["db_schema_tables"]] == ["big"]
    assert set(connection.adbc_get_table_types()) >= {"BASE TABLE", "VIEW"}


def field(name, kind, nullable):
    return pa.field(name, kind, nullable)


TEXT = pa.utf8()
NAMES = [field("catalog_name", TEXT, True), field("db_schema_name", TEXT, True), field("table_name", TEXT, False)]
KEY_SIDE = [
    field("pk_catalog_name", TEXT, True), field("pk_db_schema_name", TEXT, True),
    field("pk_table_name", TEXT, False), field("pk_column_name", TEXT, False),
    field("fk_catalog_name", TEXT, True), field("fk_db_schema_name", TEXT, True),
    field("fk_table_name", TEXT, False), field("fk_column_name", TEXT, False),
    field("key_sequence", pa.int32(), False), field("fk_key_name", TEXT, True), field("pk_key_name", TEXT, True),
    field("update_rule", pa.uint8(), False), field("delete_rule", pa.uint8(), False),
]
SCHEMAS = {
    "CommandGetCatalogs": ({}, [field("catalog_name", TEXT, False)]),
    "CommandGetDbSchemas": ({}, [field("catalog_name", TEXT, True), field("db_schema_name", TEXT, False)]),
    "CommandGetTables": ({}, [*NAMES, field("table_type", TEXT, False)]),
    "CommandGetTables ": ({5: True}, [*NAMES, field("table_type", TEXT, False), field("table_schema", pa.binary(), False)]),
    "CommandGetTableTypes": ({}, [field("table_type", TEXT, False)]),
    "CommandGetPrimaryKeys": (
        {3: "t"},
        [*NAMES, field("column_name", TEXT, False), field("key_name", TEXT, True), field("key_sequence", pa.int32(), False)],
    ),
    "CommandGetImportedKeys": ({3: "t"}, KEY_SIDE),
    "CommandGetExportedKeys": ({3: "t"}, KEY_SIDE),
    "CommandGetCrossReference": ({3: "t", 6: "u"}, KEY_SIDE),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_adbc_14_and_p08_schemas_of_metadata_are_the_specified_ones(wire, name):
    fields, expected = SCHEMAS[name]
    info = wire.info(command(name.strip(), fields))
    told, sent = info.schema, wire.table(info.ticket).schema
    assert told.equals(pa.schema(expected)), f"{name}: {told}"
    assert sent.equals(told)


def test_adbc_15_the_schema_of_a_table(connection, shop):
    told = connection.adbc_get_table_schema("orders", db_schema_filter=shop)
    assert told.names == ["id", "total", "at"]
    assert told.field("total").type == pa.decimal128(10, 2)
    assert told.field("at").type == pa.timestamp("us")
    with pytest.raises(flight_sql.Error) as caught:
        connection.adbc_get_table_schema("nothing", db_schema_filter=shop)
    assert caught.value.status_code == AdbcStatusCode.NOT_FOUND


def test_adbc_15_the_schema_told_is_the_schema_queried(connection, cursor, shop):
    told = connection.adbc_get_table_schema("orders", db_schema_filter=shop)
    cursor.execute(f"SELECT * FROM {shop}.orders")
    assert cursor.fetch_arrow_table().schema.types == told.types
