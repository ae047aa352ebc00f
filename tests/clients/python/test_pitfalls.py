"""What broke other servers (clients.md §8), on the wire itself: P1 to P7, P11 to P15, P17."""

import base64

import adbc_driver_flightsql.dbapi as flight_sql
import grpc
import pyarrow as pa
import pytest

from configurations import ADMIN, USERS
from wire import Wire, command, decode, descriptor, encode, schema_of, to_frames, to_table

MESSAGE_BYTES_MAX = 4 << 20


def sent(wire, sql, profile=None):
    """(schema of FlightInfo, rows) under a profile; both schemas are compared."""
    headers = [("fjord-output-profile", profile)] if profile else []
    info = wire.query(sql, headers=headers)
    table = wire.table(info.ticket, headers=headers)
    assert info.schema.equals(table.schema), f"{info.schema} is told, {table.schema} is sent"
    _, told, _ = wire.prepare(sql, headers=headers)
    assert told.equals(table.schema), f"{told} is prepared, {table.schema} is sent"
    return table


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 1000) AS s FROM generate_series(1, 20000)",
        "SELECT [repeat('x', 1000), repeat('y', 1000)] AS s FROM generate_series(1, 20000)",
        "SELECT named_struct('a', repeat('x', 1000), 'b', value) AS s FROM generate_series(1, 20000)",
        "SELECT arrow_cast(repeat('x', 1000), 'Dictionary(Int32, Utf8)') AS s FROM generate_series(1, 20000)",
        "SELECT CASE WHEN value % 5000 = 0 THEN repeat('x', 1500000) ELSE 'y' END AS s FROM generate_series(1, 20000)",
    ],
)
def test_p01_no_message_reaches_four_mebibytes(open_server, sql):
    with Wire(open_server, options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]) as wire:
        frames = wire.frames(wire.query(sql).ticket)
    assert max(map(len, frames)) < MESSAGE_BYTES_MAX
    assert to_table(frames).num_rows == 20000


def test_p01_a_row_that_fits_no_message_is_a_clear_error_or_arrives(open_server):
    with Wire(open_server, options=[("grpc.max_receive_message_length", 64 << 20)]) as wire:
        try:
            table = wire.rows("SELECT repeat('x', 6000000) AS s")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "row" in error.details()
        else:
            assert len(table["s"][0].as_py()) == 6_000_000


@pytest.mark.parametrize("null", ["NOT NULL", ""])
def test_p02_min_and_max_from_statistics_keep_the_told_schema(wire, schema, null):
    wire.update(f"CREATE TABLE {schema}.t (id bigint {null}, day date {null})")
    wire.update(f"INSERT INTO {schema}.t VALUES (1, DATE '2026-01-01'), (5, DATE '2026-03-01')")
    table = sent(wire, f"SELECT min(id) AS a, max(id) AS b, count(*) AS c, max(day) AS d FROM {schema}.t")
    assert table.to_pydict()["a"] == [1] and table.to_pydict()["b"] == [5]
    sent(wire, f"SELECT min(id) AS a, count(*) AS c FROM {schema}.t WHERE id > 99")


@pytest.mark.parametrize("profile", ["default", "native"])
@pytest.mark.parametrize("where", ["true", "false"])
def test_p03_dictionaries_are_consistent_also_with_no_rows(wire, profile, where):
    sql = f"""
        SELECT arrow_cast(CASE value % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END, 'Dictionary(Int32, Utf8)') AS tag
        FROM generate_series(1, 30000) WHERE {where} AND value > 0
    """
    table = sent(wire, sql, profile)
    kind = table.schema.field("tag").type
    assert pa.types.is_dictionary(kind) == (profile == "native"), kind
    expected = [None if n % 3 == 2 else "ab"[n % 3] for n in range(1, 30001)] if where == "true" else []
    assert sorted(map(str, table["tag"].to_pylist())) == sorted(map(str, expected))


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("'a'::TEXT", pa.utf8()),
        ("arrow_cast('a', 'Utf8View')", pa.utf8()),
        ("arrow_cast('a', 'BinaryView')", pa.binary()),
        ("[arrow_cast('a', 'Utf8View')]", pa.list_(pa.utf8())),
        ("arrow_cast('a', 'Dictionary(Int32, Utf8)')", pa.utf8()),
    ],
)
def test_p04_no_view_reaches_a_client_that_did_not_ask(wire, expression, kind):
    table = sent(wire, f"SELECT {expression} AS v FROM generate_series(1, 3)")
    found = table.schema.field("v").type
    assert found == kind or (pa.types.is_list(found) and found.value_type == kind.value_type), found


def test_p04_text_columns_of_tables_are_utf8(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (s varchar, b varbinary)")
    wire.update(f"INSERT INTO {schema}.t VALUES ('a', X'00')")
    assert sent(wire, f"SELECT * FROM {schema}.t").schema.types == [pa.utf8(), pa.binary()]


def test_p05_ddl_runs_without_a_fetch(wire, schema):
    wire.query(f"CREATE TABLE {schema}.t (id bigint)")
    assert wire.rows(f"SELECT count(*) AS n FROM {schema}.t")["n"].to_pylist() == [0]


def test_p05_the_same_ticket_twice_is_one_row(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (id bigint)")
    info = wire.query(f"INSERT INTO {schema}.t VALUES (1)")
    first = wire.table(info.ticket)
    second = wire.table(info.ticket)
    assert first.equals(second) and info.schema.equals(first.schema)
    assert info.total_records in (1, -1)
    assert wire.rows(f"SELECT count(*) AS n FROM {schema}.t")["n"].to_pylist() == [1]


def test_p05_preparing_and_describing_run_nothing(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (id bigint)")
    insert = f"INSERT INTO {schema}.t VALUES (1)"
    handle, told, _ = wire.prepare(insert)
    assert told is None or not told.names
    wire.unary("GetSchema", descriptor(command("CommandPreparedStatementQuery", {1: handle})))
    assert wire.rows(f"SELECT count(*) AS n FROM {schema}.t")["n"].to_pylist() == [0]
    wire.info(command("CommandPreparedStatementQuery", {1: handle}))
    assert wire.rows(f"SELECT count(*) AS n FROM {schema}.t")["n"].to_pylist() == [1]


def test_p06_two_connections_share_the_text_and_nothing_else(open_server):
    with Wire(open_server) as one, Wire(open_server) as two:
        sql = "SELECT CAST(? AS bigint) AS n"
        handles = [one.prepare(sql)[0], two.prepare(sql)[0]]
        bound = [w.bind(h, pa.table({"0": pa.array([n], pa.int64())})) for w, h, n in zip((one, two), handles, (1, 2))]
        assert one.run_prepared(bound[0])["n"].to_pylist() == [1]
        assert two.run_prepared(bound[1])["n"].to_pylist() == [2]
        assert one.run_prepared(bound[0])["n"].to_pylist() == [1]


def test_p06_one_handle_runs_a_hundred_times_and_closes_twice(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (id bigint)")
    handle, *_ = wire.prepare(f"SELECT count(*) + CAST(? AS bigint) AS n FROM {schema}.t")
    for n in range(100):
        bound = wire.bind(handle, pa.table({"0": pa.array([n], pa.int64())}))
        assert wire.run_prepared(bound)["n"].to_pylist() == [n]
    for _ in range(2):
        wire.action("ClosePreparedStatement", command("ActionClosePreparedStatementRequest", {1: handle}))


def test_p06_a_handle_sees_the_table_as_it_is_when_it_runs(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (id bigint)")
    handle, *_ = wire.prepare(f"SELECT count(*) AS n FROM {schema}.t")
    assert wire.run_prepared(handle)["n"].to_pylist() == [0]
    wire.update(f"INSERT INTO {schema}.t VALUES (1)")
    assert wire.run_prepared(handle)["n"].to_pylist() == [1]


def test_p07_twelve_parameters_have_types_and_stand_in_order(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (id bigint, s varchar, d decimal(10, 2), at timestamp, day date, ok boolean)")
    wire.update(
        f"INSERT INTO {schema}.t VALUES (7, 'a', 1.50, TIMESTAMP '2026-01-01 00:00:00', DATE '2026-01-01', true)"
    )
    columns = ["id", "s", "d", "at", "day", "ok"] * 2
    where = " AND ".join(f"{c} = ${i + 1}" for i, c in enumerate(columns))
    handle, _, parameters = wire.prepare(f"SELECT id FROM {schema}.t WHERE {where} AND '?' <> '$1' -- ? $99")
    assert len(parameters) == 12 and not any(pa.types.is_null(kind) for kind in parameters.types)
    assert parameters.types[:6] == parameters.types[6:]
    assert parameters.types[0] == pa.int64() and parameters.types[1] == pa.utf8()
    row = wire.rows(f"SELECT id, s, d, at, day, ok FROM {schema}.t")
    values = [row.column(i % 6) for i in range(12)]
    bound = wire.bind(handle, pa.table(values, names=[str(i) for i in range(12)]))
    assert wire.run_prepared(bound)["id"].to_pylist() == [7]


def test_p07_question_marks_in_texts_and_comments_are_no_parameters(wire):
    handle, _, parameters = wire.prepare("SELECT '?' AS a, /* ? */ \"?\" AS b FROM (SELECT 1 AS \"?\") t -- ?")
    assert parameters is None or len(parameters) == 0
    assert wire.run_prepared(handle).to_pylist() == [{"a": "?", "b": 1}]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("padded", [True, False])
def test_p11_basic_is_taken_with_and_without_padding(password_server, user, padded):
    basic = base64.b64encode(f"{user}:{USERS[user]}".encode()).decode()
    basic = basic if padded else basic.rstrip("=")
    with Wire(password_server) as wire:
        call = wire.handshake([("authorization", f"Basic {basic}")])
        assert dict(call.initial_metadata())["authorization"].startswith("Bearer ")


def test_p11_a_handshake_takes_a_bearer_token_and_returns_one(password_server):
    with Wire(password_server) as wire:
        token = wire.token(ADMIN, USERS[ADMIN])
        call = wire.handshake([("authorization", token)])
        found = dict(call.initial_metadata()) | dict(call.trailing_metadata())
        assert wire.rows("SELECT 1 AS n", headers=[("authorization", found["authorization"])]).num_rows == 1


def test_p12_set_on_one_of_two_connections_stays_there(login):
    one, two = login(), login()
    with one.cursor() as first, two.cursor() as second:
        first.execute("SET TIME ZONE 'Europe/Paris'")
        first.execute("SHOW TIME ZONE")
        assert "Europe/Paris" in str(first.fetchall())
        second.execute("SHOW TIME ZONE")
        assert "Europe/Paris" not in str(second.fetchall())


def test_p12_without_cookie_and_login_nothing_is_shared(open_server):
    with flight_sql.connect(open_server.uri, autocommit=True) as one, one.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'Asia/Tokyo'")
    with Wire(open_server) as other:
        assert "Tokyo" not in str(other.rows("SHOW TIME ZONE").to_pylist())


INSTANT = "TIMESTAMP '2026-01-02 03:04:05.678'"


@pytest.mark.parametrize("unit", ["Second", "Millisecond", "Microsecond", "Nanosecond"])
@pytest.mark.parametrize("zone", ["None", 'Some("Europe/Paris")'])
def test_p13_grafana_gets_nanoseconds_of_every_unit_and_the_same_instant(wire, unit, zone):
    kind = f"Timestamp({unit}, {zone})"
    sql = f"SELECT arrow_cast(arrow_cast('2026-01-02T03:04:05Z', 'Timestamp({unit}, Some(\"UTC\"))'), '{kind}') AS t"
    table = sent(wire, sql, "grafana")
    assert table.schema.field("t").type.unit == "ns"
    plain = sent(wire, sql, "default")
    short = {"Second": "s", "Millisecond": "ms", "Microsecond": "us", "Nanosecond": "ns"}[unit]
    assert plain.schema.field("t").type.unit == short
    assert (plain.schema.field("t").type.tz is None) == (zone == "None")
    # The instant is the same, in whichever unit.
    assert table["t"].cast(pa.timestamp("ns")).cast(pa.int64()) == plain["t"].cast(pa.timestamp("ns")).cast(pa.int64())


def test_p13_jdbc_is_asked_for_milliseconds_and_they_are_cast(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (at timestamp)")
    headers = [("fjord-output-profile", "jdbc")]
    _, _, parameters = wire.prepare(f"SELECT * FROM {schema}.t WHERE at = ?", headers=headers)
    assert parameters.types == [pa.timestamp("ms")]
    _, _, parameters = wire.prepare(f"SELECT * FROM {schema}.t WHERE at = ?")
    assert parameters.types == [pa.timestamp("us")]


@pytest.mark.parametrize(
    "expression",
    [
        "sum(CAST(value AS decimal(38, 2)))",
        "avg(CAST(value AS decimal(38, 2)))",
        "sum(arrow_cast(value, 'Decimal256(50, 2)'))",
        "max(CAST(value AS decimal(38, 0)) * 10)",
    ],
)
def test_p14_no_decimal256_by_surprise(wire, expression):
    table = sent(wire, f"SELECT {expression} AS v FROM generate_series(1, 10)")
    assert not pa.types.is_decimal256(table.schema.field("v").type), table.schema


def test_p14_a_decimal256_that_does_not_fit_is_text_or_an_error_never_another_number(wire):
    digits = "1" * 60
    try:
        table = sent(wire, f"SELECT arrow_cast('{digits}', 'Decimal256(60, 0)') AS v")
    except grpc.RpcError as error:
        assert error.code().name in ("INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION")
    else:
        assert table["v"].to_pylist() == [digits]


def test_p15_pings_every_ten_seconds_are_tolerated_while_a_stream_idles(idle_stream):
    wait, wire = idle_stream
    assert to_table(wait()).num_rows == 400_000
    assert wire.rows("SELECT 1 AS n").num_rows == 1


def test_p17_the_three_session_actions_are_there_and_listed(password_server):
    with Wire(password_server) as wire:
        wire.headers = [("authorization", wire.token(ADMIN, USERS[ADMIN]))]
        assert wire.set_session_options({"catalog": {1: "iceberg"}}) == {}
        assert wire.session_options()["catalog"] == "iceberg"
        listed = wire.channel.unary_stream("/arrow.flight.protocol.FlightService/ListActions")(
            b"", metadata=wire.headers, timeout=10
        )
        names = {decode(a)[1][0].decode() for a in listed}
        assert {"SetSessionOptions", "GetSessionOptions", "CloseSession"} <= names
        assert {"CreatePreparedStatement", "ClosePreparedStatement", "CancelFlightInfo"} <= names
        assert wire.action("CloseSession")


def test_p07_a_parameter_of_unknown_type_is_never_null_typed(wire):
    _, _, parameters = wire.prepare("SELECT ? AS n")
    assert len(parameters) == 1 and not pa.types.is_null(parameters.types[0])


def test_p02_the_schema_of_dml_through_a_query_command_is_the_one_sent(wire, schema):
    wire.update(f"CREATE TABLE {schema}.t (id bigint)")
    cmd = command("CommandStatementQuery", {1: f"INSERT INTO {schema}.t VALUES (1), (2)"})
    told = schema_of(decode(wire.unary("GetSchema", descriptor(cmd)))[1][0])
    info = wire.info(cmd)
    assert info.schema.equals(wire.table(info.ticket).schema)
    assert told is None or told.equals(info.schema)


def test_p03_parameters_may_come_as_dictionaries(wire):
    handle, *_ = wire.prepare("SELECT CAST(? AS varchar) AS s")
    values = pa.table({"0": pa.array(["a", "b", "a"]).dictionary_encode()})
    assert wire.run_prepared(wire.bind(handle, values))["s"].to_pylist() == ["a", "b", "a"]


def test_p06_a_forged_handle_is_refused(wire):
    handle, *_ = wire.prepare("SELECT 1 AS n")
    for bad in (b"", b"forged", handle[:-1], handle[:-1] + bytes([handle[-1] ^ 1])):
        with pytest.raises(grpc.RpcError) as caught:
            wire.info(command("CommandPreparedStatementQuery", {1: bad}))
        assert caught.value.code().name in ("NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED")


def test_p01_twenty_mebibytes_are_taken_in_one_message(open_server, schema):
    big = pa.table({"s": ["x" * 1000] * 20_000})
    cmd = command("CommandStatementIngest", {1: encode({1: 1, 2: 1}), 2: "big", 3: schema})
    with Wire(open_server, options=[("grpc.max_send_message_length", 64 << 20)]) as wire:
        wire.put(to_frames(cmd, big))
        assert wire.rows(f"SELECT count(*) AS n FROM {schema}.big")["n"].to_pylist() == [20_000]
