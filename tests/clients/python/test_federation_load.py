"""Many federated queries at once, and many that are cancelled: nothing stays open in the database.

FJORD_FEDERATION_QUERIES (60) at the same time, FJORD_FEDERATION_CANCELS (100) one after the other on FJORD_FEDERATION_THREADS
(10) threads; `tests/scripts/federation` has them at 200 and 2,000.
"""

import os
import random
import threading
import time

import adbc_driver_flightsql.dbapi as flight_sql
import pytest

from databases import URL, Database
from server import Server

pytestmark = pytest.mark.skipif(not URL, reason="skipped: no FJORD_TEST_POSTGRES_URL")

QUERIES = int(os.environ.get("FJORD_FEDERATION_QUERIES", "60"))
CANCELS = int(os.environ.get("FJORD_FEDERATION_CANCELS", "100"))
THREADS = int(os.environ.get("FJORD_FEDERATION_THREADS", "10"))
CONNECTIONS_MAX = 12
MEMORY_BYTES_MAX = 1 << 30
ROWS = 400_000


@pytest.fixture(scope="module")
def database():
    database = Database()
    database.sql(
        f"CREATE TABLE big AS SELECT n AS id, n % 1000 AS k, repeat('x', 100) AS pad FROM generate_series(1, {ROWS}) n; ANALYZE")
    return database


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    config = database.config(connections_max=CONNECTIONS_MAX) + '[limits]\nqueries_running_max = 64\nqueries_queued_max = 1000\n'
    server = Server(tmp_path_factory.mktemp("load"), config)
    yield server
    server.stop([database.password])
    assert database.others() == []


def connect(server):
    return flight_sql.connect(server.uri, autocommit=True)


def resident_bytes(server):
    with open(f"/proc/{server.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def watch(database, server, stop, seen):
    while not stop.is_set():
        seen.append((len(database.others()), resident_bytes(server)))
        stop.wait(0.25)


def test_many_federated_queries_stay_inside_their_budgets(server, database):
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS lake")
        cursor.execute("CREATE OR REPLACE TABLE lake.keys AS SELECT value AS k FROM generate_series(0, 99)")
    failures, seen, stop = [], [], threading.Event()

    def run(number):
        try:
            with connect(server) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*), sum(b.id) FROM sales.public.big b JOIN lake.keys l ON l.k = b.k "
                    f"WHERE b.id > {number}")
                (count, total), = cursor.fetchall()
                ids = [n for n in range(number + 1, ROWS + 1) if n % 1000 < 100] if number < 3 else None
                if ids is not None and (count, total) != (len(ids), sum(ids)):
                    failures.append((number, count, total))
        except Exception as e:
            failures.append((number, repr(e)[:500]))

    watcher = threading.Thread(target=watch, args=(database, server, stop, seen))
    watcher.start()
    began = time.monotonic()
    threads = [threading.Thread(target=run, args=(number,)) for number in range(QUERIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(900)
    stop.set()
    watcher.join()
    assert not failures, failures[:5]
    connections, memory = max(c for c, _ in seen), max(m for _, m in seen)
    print(f"measured: {QUERIES} federated queries in {time.monotonic() - began:.1f} s, "
          f"at most {connections} connections and {memory >> 20} MiB")
    assert connections <= CONNECTIONS_MAX, connections
    assert memory <= MEMORY_BYTES_MAX, memory
    database.assert_quiet_within(10)


def test_cancelled_queries_leave_nothing_open(server, database):
    failures, ended = [], {"cancelled": 0, "finished": 0}
    numbers = iter(range(CANCELS))
    lock = threading.Lock()

    def run():
        dice = random.Random(threading.get_ident())
        with connect(server) as connection:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return
                try:
                    with connection.cursor() as cursor:
                        timer = threading.Timer(dice.uniform(0.0, 0.3), cursor.adbc_cancel)
                        timer.start()
                        try:
                            cursor.execute("SELECT a.id, b.pad FROM sales.public.big a JOIN sales.public.big b ON a.id = b.id + 1")
                            cursor.fetch_record_batch().read_next_batch()
                            outcome = "finished"
                        except (flight_sql.Error, OSError) as e:
                            outcome = "cancelled"
                            if "cancel" not in str(e).lower():
                                failures.append(repr(e)[:300])
                        finally:
                            timer.cancel()
                            timer.join()
                    with lock:
                        ended[outcome] += 1
                except Exception as e:
                    failures.append(repr(e)[:300])

    began = time.monotonic()
    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(1800)
    print(f"measured: {CANCELS} federated queries cancelled or dropped in {time.monotonic() - began:.1f} s: {ended}")
    assert not failures, failures[:5]
    assert ended["cancelled"] >= CANCELS // 4, ended
    database.assert_quiet_within(10)
    assert len(database.others()) <= CONNECTIONS_MAX
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sales.public.big")
        assert cursor.fetchall() == [(ROWS,)]


def test_e1_a_connection_that_breaks_in_the_middle_is_an_error_and_never_a_short_result(server, database):
    errors = 0
    for _ in range(8):
        with connect(server) as connection, connection.cursor() as cursor:
            try:
                cursor.execute("SELECT id, pad, pad || 'y' AS more FROM sales.public.big")
                reader = cursor.fetch_record_batch()
                seen = reader.read_next_batch().num_rows
                database.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    f"WHERE datname = '{database.name}' AND pid <> pg_backend_pid()")
                for batch in reader:
                    seen += batch.num_rows
                assert seen == ROWS, f"{seen} rows of {ROWS}"
            except (flight_sql.Error, OSError) as e:
                # Which part of the scan is told first, and so what it says, is chance.
                assert "Unavailable" in str(e), e
                errors += 1
    assert errors, "every result was whole before its connections broke"
    database.assert_quiet_within(10)
    # What was in the pool is gone; statements find their way to new connections.
    deadline = time.monotonic() + 10
    while True:
        try:
            with connect(server) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM sales.public.big")
                assert cursor.fetchall() == [(ROWS,)]
                return
        except flight_sql.Error:
            assert time.monotonic() < deadline
