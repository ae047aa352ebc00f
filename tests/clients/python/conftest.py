"""A stream that idles while all other tests run, for P15."""

import time

import pytest

from wire import Wire

PINGED = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
IDLE_SECONDS_MIN = 32
IDLE_ROWS = 400_000


@pytest.fixture(scope="session", autouse=True)
def idle_stream(open_server):
    """A query's stream of which one frame was read: (call, that frame, wire); the client pings every 10 s."""
    with Wire(open_server, options=PINGED) as wire:
        sql = f"SELECT value, repeat('x', 500) AS s FROM generate_series(1, {IDLE_ROWS})"
        call = wire.open(wire.query(sql).ticket, timeout=3600)
        first, started = next(call), time.monotonic()

        def wait():
            time.sleep(max(0, IDLE_SECONDS_MIN - (time.monotonic() - started)))
            return [first, *call]

        yield wait, wire
        call.cancel()
