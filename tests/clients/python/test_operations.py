"""A server under many clients, stopped and killed at bad moments, and what it says of itself."""

import threading
import time

import grpc
import pyarrow as pa
import pytest

from server import Server
from wire import SERVICE, Info, Wire, command, descriptor, encode, to_frames

CONCURRENT = 1000


@pytest.fixture
def lake(tmp_path):
    """Starts servers on one data directory; the last one is stopped at the end."""
    started = []

    def start():
        started.append(Server(tmp_path))
        return started[-1]

    yield start
    if started and started[-1].process.poll() is None:
        started[-1].stop()


def concurrent(wire, count):
    """So many `SELECT 1` at once; the codes of those that failed."""
    request = descriptor(command("CommandStatementQuery", {1: "SELECT 1 AS n"}))
    ask = wire.channel.unary_unary(SERVICE + "GetFlightInfo")
    failed = []

    def fetch(ticket):
        try:
            assert wire.table(ticket)["n"].to_pylist() == [1]
        except grpc.RpcError as error:
            failed.append((error.code().name, error.details()))

    futures = [ask.future(request, timeout=120) for _ in range(count)]
    tickets = [Info(f.result()).ticket for f in futures]
    threads = [threading.Thread(target=fetch, args=(t,)) for t in tickets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_a_thousand_at_once_succeed_and_no_file_stays_open(open_server):
    with Wire(open_server) as wire:
        wire.rows("SELECT 1 AS n")
        before = open_server.open_files()
        failed = concurrent(wire, CONCURRENT)
        assert failed == []
        time.sleep(0.5)
        assert open_server.open_files() <= before + 8


def test_sigterm_under_load_loses_no_committed_statement_and_exits_with_0(lake):
    server = lake()
    acknowledged = []
    with Wire(server) as wire:
        wire.update("CREATE SCHEMA s")
        wire.update("CREATE TABLE s.t (writer bigint, n bigint)")

    def write(writer):
        with Wire(server) as wire:
            for n in range(10_000):
                try:
                    wire.update(f"INSERT INTO s.t VALUES ({writer}, {n})", timeout=30)
                except grpc.RpcError:
                    return
                acknowledged.append((writer, n))

    threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    server.stop()
    for thread in threads:
        thread.join()
    assert acknowledged, "nothing was written before the end"
    with Wire(lake()) as wire:
        rows = wire.rows("SELECT writer, n FROM s.t").to_pylist()
    found = {(r["writer"], r["n"]) for r in rows}
    assert len(found) == len(rows), "a row is there twice"
    assert set(acknowledged) <= found, "an acknowledged row is gone"
    assert len(found) <= len(acknowledged) + 4


def test_killed_in_the_middle_of_an_ingest_the_table_is_as_it_was(lake):
    server = lake()
    rows = pa.table({"id": pa.array(range(1000), pa.int64()), "s": ["x" * 200] * 1000})
    cmd = command("CommandStatementIngest", {1: encode({1: 1, 2: 2}), 2: "t", 3: "s"})
    with Wire(server) as wire:
        wire.update("CREATE SCHEMA s")
        wire.put(to_frames(cmd, rows))
        wire.rows("SELECT 'before the end' AS a")
        # Once a second, so that the history is on disk.
        time.sleep(1.5)
    sent = threading.Event()

    def endless():
        frames = list(to_frames(cmd, rows))
        yield from frames[:2]
        for n in range(100_000):
            if n == 200:
                sent.set()
            yield frames[1]

    def ingest():
        with Wire(server) as wire:
            with pytest.raises(grpc.RpcError):
                wire.put(endless())

    thread = threading.Thread(target=ingest)
    thread.start()
    assert sent.wait(30)
    server.kill()
    thread.join(30)
    with Wire(lake()) as wire:
        assert wire.rows("SELECT count(*) AS n FROM s.t")["n"].to_pylist() == [1000]
        assert wire.rows('SELECT count(*) AS n FROM s."t$snapshots"')["n"].to_pylist() == [1]
        history = wire.rows("SELECT text FROM system.queries WHERE text LIKE '%before the end%'")
        assert any("SELECT 'before the end'" in text for text in history["text"].to_pylist())
        wire.put(to_frames(cmd, rows))
        assert wire.rows("SELECT count(*) AS n FROM s.t")["n"].to_pylist() == [2000]


def test_health_metrics_and_queries_tell_of_the_server(open_server, wire):
    assert open_server.get("/healthz")[0] == 200
    assert open_server.get("/readyz")[0] == 200
    wire.rows("SELECT 'seen by metrics' AS a")
    status, text = open_server.get("/metrics")
    assert status == 200
    for word in ("queries", "rows", "bytes", "memory"):
        assert word in text, word
    found = wire.rows("SELECT state, rows FROM system.queries WHERE text = 'SELECT ''seen by metrics'' AS a'")
    assert found.to_pylist()[-1]["rows"] == 1


def test_a_running_query_is_killed_by_its_id(open_server, wire):
    heavy = "SELECT sum(value % 7) AS n FROM generate_series(1, 400000000001)"
    outcome = []

    def run():
        with Wire(open_server) as other:
            try:
                other.rows(heavy)
            except grpc.RpcError as error:
                outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    open_server.await_work()
    rows = wire.rows("SELECT id FROM system.queries WHERE text LIKE '%400000000001%' AND finished_at IS NULL").to_pylist()
    victim = [r["id"] for r in rows if r]
    for id in victim:
        try:
            wire.rows(f"CALL system.kill('{id}')")
        except grpc.RpcError:
            pass  # the listing query itself is over by now
    open_server.assert_idle_within(2)
    thread.join(10)
    assert outcome and outcome[0].code() == grpc.StatusCode.CANCELLED, outcome
