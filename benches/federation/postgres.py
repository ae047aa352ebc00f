"""Live PostgreSQL through Fjord, beside `psql` and DuckDB's scanner, in turns: TPC-H's `lineitem` and `orders`.

    tests/counterparts/run --with postgres -- python3 benches/federation/postgres.py --fjord target/release/fjord

Needs `duckdb`, `duckdb-extensions`, `duckdb-extension-tpch`, `duckdb-extension-postgres-scanner` and `adbc-driver-flightsql`,
and PostgreSQL's contributed module `pg_stat_statements`. The server is a new one with the settings of its distribution.
Ends with status 1 where a bar is missed.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/clients"))
sys.dont_write_bytecode = True

from data import World  # noqa: E402
from figures import Figures, in_turns  # noqa: E402

TOP = "SELECT * FROM {db}.public.orders ORDER BY o_orderkey DESC LIMIT 10"
GROUPED = "SELECT l_returnflag, l_linestatus, count(*) FROM {db}.public.lineitem GROUP BY 1, 2 ORDER BY 1, 2"
JOIN = (
    "SELECT k.label, count(*), sum(l.l_quantity) FROM iceberg.bench.chosen k "
    "JOIN pg.public.lineitem l ON l.l_orderkey = k.orderkey GROUP BY 1 ORDER BY 1"
)
# One order in so many is chosen in the lake.
CHOSEN_EVERY = 5_000


def scan(world, figures, rounds):
    """Every column of every row, consumed where it is decoded: EXPLAIN ANALYZE runs a plan and drops its rows."""
    for side in (world.fjord_scan, world.duckdb_scan):
        world.forget_statements()
        side()
        rows = sum(rows for rows, _ in world.copied())
        assert rows == world.rows, f"{rows} of {world.rows} rows were read"
    times = in_turns(
        rounds, {"fjord": world.fjord_scan, "psql": world.psql_scan, "duckdb": world.duckdb_scan}, world.fjord_cpu)
    figures.speed("full scan of lineitem", times, "psql", 0.9, "two parallel `psql` binary COPYs to /dev/null")
    figures.speed("full scan of lineitem", times, "duckdb", 1.0, "DuckDB's scanner")


def answers(world, figures, rounds, what, query, bar, rows_sent_max):
    """A query that the database answers: the same rows, and nothing but them on the wire."""
    ours, theirs = query.format(db="pg"), query.format(db="duck_pg")
    plan = world.fjord_plan(ours)
    print(f"\n{what}: {ours}\n{plan}")
    assert "RemoteSqlExec" in plan
    world.forget_statements()
    found = world.fjord(ours)
    sent = world.copied()
    print("pg_stat_statements:", *sent, sep="\n  ")
    assert [tuple(map(str, row)) for row in found] == [tuple(map(str, row)) for row in world.duckdb(theirs)]
    rows_sent = sum(rows for rows, _ in sent)
    figures.count(f"{what}: rows on the wire", rows_sent, rows_sent_max)
    times = in_turns(
        rounds, {"fjord": lambda: world.fjord(ours), "duckdb": lambda: world.duckdb(theirs)}, world.fjord_cpu)
    figures.time(what, times, "duckdb", bar, "DuckDB's scanner")


def join(world, figures, rounds):
    """The keys of a small table of the lake reach the database."""
    chosen = world.choose(CHOSEN_EVERY)
    plan = world.fjord_plan(JOIN)
    print(f"\nlake join, {chosen} keys of the lake: {JOIN}\n{plan}")
    world.forget_statements()
    found = world.fjord(JOIN)
    sent = world.copied()
    print("pg_stat_statements:", *[(rows, text[:200]) for rows, text in sent], sep="\n  ")
    assert [tuple(map(str, row)) for row in found] == world.psql_join(), found
    read = sum(rows for rows, _ in sent)
    figures.count("lake join: remote rows read", read, world.rows * 0.05)
    times = in_turns(rounds, {"fjord": lambda: world.fjord(JOIN)}, world.fjord_cpu)
    figures.only("lake join", times)


def write(world, figures, rounds):
    """lineitem from the lake into a new table, beside one COPY of the same rows from a file."""
    times = in_turns(rounds, {"fjord": world.fjord_copy, "psql": world.psql_copy}, world.fjord_cpu, world.drop_copies)
    figures.speed("CREATE TABLE AS of lineitem into PostgreSQL", times, "psql", 0.8, "one `psql` binary COPY of the same rows")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--fjord", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="scan,top,grouped,join,write")
    given = parser.parse_args()
    if not os.environ.get("FJORD_TEST_POSTGRES_URL"):
        sys.exit("no PostgreSQL: run it by tests/counterparts/run --with postgres -- …")
    only = given.only.split(",")
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="fjord-federation-") as folder:
        began = time.perf_counter()
        world = World(Path(folder), given.scale, given.fjord.resolve())
        try:
            print(f"{world.rows} rows of lineitem ({world.bytes >> 20} MiB) loaded in {time.perf_counter() - began:.0f} s")
            if "scan" in only:
                scan(world, figures, given.rounds)
            if "top" in only:
                answers(world, figures, given.rounds * 3, "top 10 by primary key", TOP, 0.1, 10)
            if "grouped" in only:
                answers(world, figures, given.rounds, "grouped count", GROUPED, 1.0, 4)
            if "join" in only:
                join(world, figures, given.rounds)
            if "write" in only:
                write(world, figures, given.rounds)
        finally:
            world.stop()
    print()
    print(figures.table())
    sys.exit(0 if figures.held else 1)


if __name__ == "__main__":
    main()
