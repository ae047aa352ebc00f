"""Flight SQL by hand: protobuf fields, gRPC calls and IPC frames, for what client libraries hide.

A message is a dictionary of field numbers. `encode` writes one; `decode` reads one into lists of raw values.
"""

import struct

import grpc
import pyarrow as pa

SERVICE = "/arrow.flight.protocol.FlightService/"
SQL = "type.googleapis.com/arrow.flight.protocol.sql."


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def encode(fields):
    """{number: str | bytes | int | bool | float | dict | list of these} → protobuf."""
    out = bytearray()
    for number, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if one is None:
                continue
            if isinstance(one, dict):
                one = encode(one)
            if isinstance(one, str):
                one = one.encode()
            if isinstance(one, (bytes, bytearray, memoryview)):
                out += varint(number << 3 | 2) + varint(len(one)) + bytes(one)
            elif isinstance(one, float):
                out += varint(number << 3 | 1) + struct.pack("<d", one)
            else:
                out += varint(number << 3) + varint(int(one))
    return bytes(out)


def read_varint(data, at):
    n = shift = 0
    while True:
        byte = data[at]
        n |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return n, at


def decode(data):
    """protobuf → {number: [value, …]}; values are int, 8 or 4 raw bytes, or bytes."""
    fields, at = {}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 1:
            value, at = data[at : at + 8], at + 8
        elif kind == 2:
            size, at = read_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            value, at = data[at : at + 4], at + 4
        fields.setdefault(number, []).append(value)
    return fields


def command(name, fields=None):
    """A Flight SQL command, packed as `Any`."""
    return encode({1: SQL + name, 2: encode(fields or {})})


def descriptor(cmd):
    return encode({1: 2, 2: cmd})


def schema_of(data):
    """The schema in an IPC-encapsulated message; None where there is none."""
    return pa.ipc.read_schema(pa.py_buffer(data)) if data else None


class Info:
    """A FlightInfo."""

    def __init__(self, data):
        fields = decode(data)
        self.raw = data
        self.schema = schema_of(fields.get(1, [b""])[0])
        self.endpoints = [decode(e) for e in fields.get(3, [])]
        self.total_records = signed(fields.get(4, [0])[0])

    @property
    def ticket(self):
        assert len(self.endpoints) == 1, f"{len(self.endpoints)} endpoints"
        return decode(self.endpoints[0][1][0])[1][0]

    @property
    def locations(self):
        return [decode(place)[1][0].decode() for e in self.endpoints for place in e.get(2, [])]

    @property
    def expires(self):
        """Seconds since 1970, or None."""
        times = self.endpoints[0].get(3)
        return decode(times[0])[1][0] if times else None


def signed(n):
    return n - (1 << 64) if n >= 1 << 63 else n


def frames_to_ipc(frames):
    """FlightData messages → an IPC stream."""
    out = bytearray()
    for frame in frames:
        fields = decode(frame)
        header = fields.get(2, [b""])[0]
        if not header:
            continue
        padded = header + bytes(-len(header) % 8)
        out += b"\xff\xff\xff\xff" + struct.pack("<i", len(padded)) + padded
        out += fields.get(1000, [b""])[0]
    return bytes(out)


def to_table(frames):
    with pa.ipc.open_stream(frames_to_ipc(frames)) as reader:
        return pa.Table.from_batches(list(reader), schema=reader.schema)


def to_frames(cmd, table, batches=None):
    """A table → FlightData messages, the first with the descriptor."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in batches if batches is not None else table.to_batches():
            writer.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(sink.getvalue())
    first = descriptor(cmd)
    for message in reader:
        body = message.body.to_pybytes() if message.body is not None else None
        yield encode({1: first, 2: message.metadata.to_pybytes(), 1000: body})
        first = None


class Wire:
    """A channel to a server, with headers that go with every call."""

    def __init__(self, server, headers=(), options=(), credentials=None):
        if credentials is None:
            self.channel = grpc.insecure_channel(server.address, options=list(options))
        else:
            self.channel = grpc.secure_channel(server.address, credentials, options=list(options))
        self.headers = list(headers)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def unary(self, method, request, headers=(), timeout=60):
        return self.channel.unary_unary(SERVICE + method)(request, metadata=[*self.headers, *headers], timeout=timeout)

    def unary_with_call(self, method, request, headers=(), timeout=60):
        call = self.channel.unary_unary(SERVICE + method)
        return call.with_call(request, metadata=[*self.headers, *headers], timeout=timeout)

    def handshake(self, headers, messages=()):
        """The call itself, so that the caller may read headers and trailers; zero messages are sent."""
        call = self.channel.stream_stream(SERVICE + "Handshake")(
            iter(messages), metadata=[*self.headers, *headers], timeout=30
        )
        list(call)
        return call

    def token(self, user, password):
        """The `authorization` value that a Basic handshake returns."""
        import base64

        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        call = self.handshake([("authorization", f"Basic {basic}")])
        found = dict(call.initial_metadata()) | dict(call.trailing_metadata())
        return found["authorization"]

    def info(self, cmd, **rest):
        return Info(self.unary("GetFlightInfo", descriptor(cmd), **rest))

    def query(self, sql, **rest):
        return self.info(command("CommandStatementQuery", {1: sql}), **rest)

    def open(self, ticket, headers=(), timeout=60):
        """The running DoGet call: iterate for FlightData messages."""
        return self.channel.unary_stream(SERVICE + "DoGet")(
            encode({1: ticket}), metadata=[*self.headers, *headers], timeout=timeout
        )

    def frames(self, ticket, **rest):
        return list(self.open(ticket, **rest))

    def table(self, ticket, **rest):
        return to_table(self.frames(ticket, **rest))

    def rows(self, sql, **rest):
        return self.table(self.query(sql, **rest).ticket, **rest)

    def action(self, name, body=b"", headers=(), timeout=30):
        call = self.channel.unary_stream(SERVICE + "DoAction")(
            encode({1: name, 2: body}), metadata=[*self.headers, *headers], timeout=timeout
        )
        return [decode(r).get(1, [b""])[0] for r in call]

    def action_with_headers(self, name, body=b"", headers=()):
        call = self.channel.unary_stream(SERVICE + "DoAction")(
            encode({1: name, 2: body}), metadata=[*self.headers, *headers], timeout=30
        )
        results = [decode(r).get(1, [b""])[0] for r in call]
        return results, [*call.initial_metadata(), *call.trailing_metadata()]

    def prepare(self, sql, **rest):
        """(handle, dataset schema or None, parameter schema or None)."""
        body = command("ActionCreatePreparedStatementRequest", {1: sql})
        result = decode(decode(self.action("CreatePreparedStatement", body, **rest)[0])[2][0])
        return result[1][0], schema_of(result.get(2, [b""])[0]), schema_of(result.get(3, [b""])[0])

    def put(self, frames, headers=(), timeout=60):
        """DoPut; the application metadata of each answer."""
        call = self.channel.stream_stream(SERVICE + "DoPut")(
            iter(frames), metadata=[*self.headers, *headers], timeout=timeout
        )
        return [decode(r).get(1, [b""])[0] for r in call]

    def update(self, sql, **rest):
        """CommandStatementUpdate, as ADBC sends it: one frame without a schema; the affected rows."""
        frame = encode({1: descriptor(command("CommandStatementUpdate", {1: sql}))})
        return signed(decode(self.put([frame], **rest)[0]).get(1, [0])[0])

    def bind(self, handle, table):
        """Binds parameters to a query; the handle to go on with."""
        answers = self.put(to_frames(command("CommandPreparedStatementQuery", {1: handle}), table))
        fields = decode(answers[0]) if answers else {}
        return fields.get(1, [handle])[0]

    def run_prepared(self, handle, **rest):
        return self.table(self.info(command("CommandPreparedStatementQuery", {1: handle})).ticket, **rest)

    def session_options(self, **rest):
        fields = decode(self.action("GetSessionOptions", **rest)[0])
        found = {}
        for entry in fields.get(1, []):
            entry = decode(entry)
            value = decode(entry.get(2, [b""])[0])
            found[entry[1][0].decode()] = value[1][0].decode() if 1 in value else value
        return found

    def set_session_options(self, options, **rest):
        """Sets {name: encoded SessionOptionValue fields}; returns {name: error number}."""
        body = encode({1: [{1: name, 2: encode(value)} for name, value in options.items()]})
        result = self.action("SetSessionOptions", body, **rest)
        errors = {}
        for entry in decode(result[0]).get(1, []) if result else []:
            entry = decode(entry)
            errors[entry[1][0].decode()] = decode(entry[2][0]).get(1, [0])[0]
        return errors
