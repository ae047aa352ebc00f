"""Many clients at once, and clients that behave badly: what the server answers, and what it holds meanwhile.

`tests/scripts/load` runs all of it; the suite runs a short version (`python/test_load.py`).
"""

import argparse
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql

from server import BINARY, ROOT, Server
from wire import Wire

MIB = 1 << 20
# Beyond what the server had open before: connections to the catalog come and go.
FILES_LEFT_MAX = 8
FILES_SETTLE_SECONDS = 10
SLEEPER_BYTES_MAX = 64 * MIB
SLEEPERS = 4
SLEEP_SECONDS = 3
STOP_SECONDS_MAX = 2.0
# Of one core, and of bytes read and written in one sample: nothing is going on.
IDLE_CORES, IDLE_BYTES = 0.2, 64 * 1024
SAMPLE_SECONDS = 0.2
TPCH_TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
# Those that need no more than the three tables that are made here.
MADE_QUERIES = [1, 3, 4, 6, 12, 13, 18]
# Minutes of work before the first row; and rows without end.
HEAVY = "SELECT sum((a.value * b.value) % 7) AS n FROM generate_series(1, 400000) a CROSS JOIN generate_series(1, 400000) b"
LONG = "SELECT value, repeat('x', 500) AS s FROM generate_series(1, 500000000)"


def made_tables(orders):
    """CREATE statements for a `customer`, `orders` and `lineitem` in the likeness of TPC-H's."""
    # Multiplied by large primes, numbers are in no order, and the same in every run.
    mixed = lambda column, prime, modulus: f"(({column} * {prime}) % {modulus})"
    day = lambda days: f"(DATE '1992-01-01' + CAST({days} AS int))"
    pick = lambda column, texts: "CASE " + " ".join(
        f"WHEN {column} % {len(texts)} = {i} THEN '{text}'" for i, text in enumerate(texts)
    ) + " END"
    segments = ["BUILDING", "MACHINERY", "AUTOMOBILE", "FURNITURE", "HOUSEHOLD"]
    priorities = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"]
    ships = ["MAIL", "SHIP", "AIR", "RAIL", "TRUCK", "FOB", "REG AIR"]
    customers = max(orders // 10, 1)
    shipped = f"({mixed('value', 7919, 2400)} + 1)"
    return [
        f"""CREATE TABLE load.customer AS SELECT value AS c_custkey, concat('Customer#', value) AS c_name,
        {pick('value', segments)} AS c_mktsegment FROM generate_series(1, {customers})""",
        f"""CREATE TABLE load.orders AS SELECT value AS o_orderkey, {mixed('value', 104729, customers)} + 1 AS o_custkey,
        {day(mixed('value', 7907, 2400))} AS o_orderdate, {pick(mixed('value', 31, 1000), priorities)} AS o_orderpriority,
        CAST({mixed('value', 15485863, 500000)} AS decimal(15, 2)) AS o_totalprice, CAST(0 AS int) AS o_shippriority,
        CASE WHEN value % 50 = 0 THEN 'a special case, which requests care' ELSE concat('comment ', value) END AS o_comment
        FROM generate_series(1, {orders})""",
        f"""CREATE TABLE load.lineitem AS SELECT (value + 3) / 4 AS l_orderkey,
        CAST({mixed('value', 17, 100)} AS decimal(15, 2)) AS l_quantity,
        CAST({mixed('value', 32452843, 100000)} AS decimal(15, 2)) AS l_extendedprice,
        CAST({mixed('value', 13, 11)} AS decimal(15, 2)) / 100 AS l_discount, CAST(0.04 AS decimal(15, 2)) AS l_tax,
        {pick(mixed('value', 7, 100), ['A', 'N', 'R'])} AS l_returnflag, {pick(mixed('value', 11, 100), ['F', 'O'])} AS l_linestatus,
        {day(shipped)} AS l_shipdate, {day(f"{shipped} + value % 60")} AS l_commitdate, {day(f"{shipped} + value % 30 + 1")} AS l_receiptdate,
        {pick(mixed('value', 13, 1000), ships)} AS l_shipmode, concat('comment on line ', value) AS l_comment
        FROM generate_series(1, {4 * orders})""",
    ]


def load(folder, tpch, orders):
    """Makes the tables in the schema `load` before any server runs; the texts of queries that read them."""
    statements = ["CREATE SCHEMA load"]
    if tpch is None:
        statements += made_tables(orders)
    else:
        source = "CREATE TABLE load.{0} AS SELECT * FROM read_parquet('{1}')"
        statements += [source.format(t, tpch.resolve() / f"{t}.parquet") for t in TPCH_TABLES]
    arguments = [part for statement in statements for part in ("-c", statement)]
    data = Path(folder) / "data"
    subprocess.run([BINARY, "sql", "--data-dir", data, *arguments], check=True, stdout=subprocess.DEVNULL)
    numbers = MADE_QUERIES if tpch is None else range(1, 23)
    return [(ROOT / f"benches/tpch/q{number:02}.sql").read_text() for number in numbers]


def error_of(error):
    """One word for what a client was told, or the whole text."""
    text = str(error)
    return "QUEUE_FULL" if "QUEUE_FULL" in text else text.strip().splitlines()[0]


def at_once(server, statements, schema=None):
    """One ADBC client for each statement, all connected, then all at once: {outcome: how often}, and the seconds."""
    options = {"adbc.flight.sql.rpc.call_header.fjord-schema": schema} if schema else {}
    outcomes = Counter()
    lock = threading.Lock()
    connected = threading.Barrier(len(statements) + 1)

    def note(outcome):
        with lock:
            outcomes[outcome] += 1

    def client(sql):
        try:
            connection = flight_sql.connect(server.uri, db_kwargs=options, autocommit=True)
            # The driver connects with its first call; this one is no query, so no queue refuses it. Not GetInfo:
            # driver 1.13.0 keeps what it learns there in one map without a lock, and Go ends the process.
            connection.adbc_get_table_types()
            cursor = connection.cursor()
        except flight_sql.Error as error:
            connected.wait()
            return note(f"no connection: {error_of(error)}")
        connected.wait()
        try:
            cursor.execute(sql)
            cursor.fetch_arrow_table()
            note("ok")
        except flight_sql.Error as error:
            note(error_of(error))
        finally:
            cursor.close()
            connection.close()

    threads = [threading.Thread(target=client, args=(sql,)) for sql in statements]
    for thread in threads:
        thread.start()
    connected.wait()
    started = time.monotonic()
    for thread in threads:
        thread.join()
    return outcomes, time.monotonic() - started


def files_before(server, texts):
    """Open files once the server has done everything before: its pool of connections to the catalog is as large as it gets."""
    outcomes, _ = at_once(server, 2 * texts, "load")
    assert outcomes == {"ok": 2 * len(texts)}, outcomes
    time.sleep(1)
    return server.open_files()


def files_after(server, before):
    """Open files once what was open for clients has been closed, or the time for that is over."""
    deadline = time.monotonic() + FILES_SETTLE_SECONDS
    while server.open_files() > before + FILES_LEFT_MAX and time.monotonic() < deadline:
        time.sleep(0.1)
    return server.open_files()


def peak_bytes(server):
    """The most resident memory that the process ever had."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


def moved_bytes(server):
    """What the process has read and written so far, files and sockets."""
    io = Path(f"/proc/{server.pid}/io").read_text()
    return sum(int(n) for n in re.findall(r"^[rw]char: (\d+)", io, re.MULTILINE))


def seconds_to_idle(server, seconds_max=15):
    """How long until a whole sample sees the process neither compute nor read and write."""
    started = time.monotonic()
    while True:
        moved = moved_bytes(server)
        used = server.busy(SAMPLE_SECONDS)
        if used < IDLE_CORES and moved_bytes(server) - moved < IDLE_BYTES:
            return time.monotonic() - started
        if time.monotonic() - started > seconds_max:
            return float("inf")


def sleepers(server, count=SLEEPERS):
    """Clients that take one message and no more: bytes that each holds, and by how much that grows while they sleep."""
    with Wire(server) as wire:
        warm = wire.open(wire.query(LONG).ticket)
        for _ in range(50):
            next(warm)
        warm.cancel()
    seconds_to_idle(server)
    before = server.rss_bytes()
    wires = [Wire(server) for _ in range(count)]
    try:
        streams = [wire.open(wire.query(LONG).ticket) for wire in wires]
        for stream in streams:
            next(stream)
        seconds_to_idle(server)
        settled = server.rss_bytes()
        time.sleep(SLEEP_SECONDS)
        later = server.rss_bytes()
        for stream in streams:
            stream.cancel()
    finally:
        for wire in wires:
            wire.close()
    return max(later - before, 0) / count, (later - settled) / count


def seconds_after_disconnect(server, sql, takes_rows):
    """Kills a client in the middle of its query: how long the server goes on."""
    victim = subprocess.Popen(
        [sys.executable, __file__, "--victim", server.uri, sql], stdout=subprocess.PIPE, cwd=Path(__file__).parent
    )
    try:
        assert victim.stdout.readline() == b"asking\n"
        if takes_rows:
            assert victim.stdout.readline() == b"rows\n"
        server.await_work()
    finally:
        victim.kill()
        victim.wait()
        victim.stdout.close()
    return seconds_to_idle(server)


def run_victim(uri, sql):
    """Asks and reads until it is killed."""
    with flight_sql.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        print("asking", flush=True)
        cursor.execute(sql)
        reader = cursor.fetch_record_batch()
        reader.read_next_batch()
        print("rows", flush=True)
        for _ in reader:
            pass


class Verdict:
    """Prints what was measured and remembers what is not as it must be."""

    def __init__(self):
        self.failures = []

    def measured(self, text, holds):
        print(f"measured: {text}{'' if holds else '  <- VIOLATION'}", flush=True)
        if not holds:
            self.failures.append(text)


def misbehaving(verdict, server):
    held, grown = sleepers(server)
    verdict.measured(
        f"a reader that stopped: {held / MIB:.1f} MiB held, {grown / MIB:+.1f} MiB while it slept {SLEEP_SECONDS} s (at most 64, flat)",
        held <= SLEEPER_BYTES_MAX and grown < 4 * MIB,
    )
    for what, sql, takes_rows in [("before the first row", HEAVY, False), ("while rows flow", LONG, True)]:
        seconds = seconds_after_disconnect(server, sql, takes_rows)
        verdict.measured(
            f"killed {what}: processor and I/O idle after {seconds:.1f} s (at most {STOP_SECONDS_MAX:g})",
            seconds <= STOP_SECONDS_MAX,
        )


def crowds(verdict, server, clients, queries, texts, memory_limit_bytes):
    before = files_before(server, texts)
    outcomes, seconds = at_once(server, ["SELECT 1"] * clients)
    verdict.measured(f"{clients} x SELECT 1: {dict(outcomes)} in {seconds:.1f} s", outcomes == {"ok": clients})
    outcomes, seconds = at_once(server, [texts[i % len(texts)] for i in range(queries)], "load")
    verdict.measured(f"{queries} queries: {dict(outcomes)} in {seconds:.1f} s", outcomes == {"ok": queries})
    after = files_after(server, before)
    verdict.measured(f"open files: {before} before, {after} after", after <= before + FILES_LEFT_MAX)
    peak, bar = peak_bytes(server), memory_limit_bytes * 5 // 4
    verdict.measured(
        f"peak of resident memory: {peak / MIB:.0f} MiB, limit {memory_limit_bytes / MIB:.0f} MiB + 25 % = {bar / MIB:.0f} MiB",
        peak <= bar,
    )


def refusals(verdict, server, queries, texts):
    """A server whose queue is short refuses with QUEUE_FULL, and nothing else goes wrong."""
    outcomes, seconds = at_once(server, [texts[i % len(texts)] for i in range(queries)], "load")
    verdict.measured(
        f"{queries} queries, 2 run and 4 wait: {dict(outcomes)} in {seconds:.1f} s",
        set(outcomes) == {"ok", "QUEUE_FULL"} and outcomes["ok"] >= 6,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000, help="SELECT 1 at once")
    parser.add_argument("--queries", type=int, default=200, help="queries at once")
    parser.add_argument("--running-max", type=int, default=32, help="queries_running_max of the server")
    parser.add_argument("--memory-limit-mib", type=int, default=2048)
    parser.add_argument("--tpch", type=Path, help="a folder of TPC-H tables as Parquet; default: tables in their likeness are made")
    parser.add_argument("--orders", type=int, default=150_000, help="rows of the made `orders`; `lineitem` has four times as many")
    parser.add_argument("--victim", nargs=2, metavar=("URI", "SQL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.victim:
        return run_victim(*arguments.victim)
    # A connection a client, on both sides.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder = Path(tempfile.mkdtemp(prefix="fjord-load-"))
    verdict = Verdict()
    memory = ("--memory-limit", f"{arguments.memory_limit_mib}MiB")
    try:
        texts = load(folder, arguments.tpch, arguments.orders)
        server = Server(folder, f"[limits]\nqueries_running_max = {arguments.running_max}\n", memory)
        try:
            misbehaving(verdict, server)
            limit = arguments.memory_limit_mib * MIB
            crowds(verdict, server, arguments.clients, arguments.queries, texts, limit)
        finally:
            server.stop()
        server = Server(folder, "[limits]\nqueries_running_max = 2\nqueries_queued_max = 4\n", memory)
        try:
            refusals(verdict, server, min(arguments.queries, 40), texts)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for failure in verdict.failures:
        print(f"violated: {failure}", file=sys.stderr)
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(main())
