"""What workers cost and what they bring: TPC-H on processes that are pinned to cores.

    python benches/cluster/speed.py --scale 10 --folder bench-data/scale --rounds 3

Needs a release binary (FJORD_BIN) and what tests/scale/answers.py needs; its tables are shared with that program. Four set-ups live side
by side on one data directory, and each query runs on all of them in turns, so that whatever else the machine does disturbs them alike.

    one-core    a server without workers, on core 0                     | overhead of a remote worker: the same core
    one-worker  coordinator and a worker, both on core 0                | for all there is, the client as well
    two-cores   a server without workers, on cores 0 and 1              | what a process gains by a second core
    two-workers a worker on core 0, another on core 1, coordinator on both | speed of two workers against one worker

The client is pinned as the coordinator is, and counted. Queries that do not run on workers are left out of the ratios of that set-up, and
named. Stages are forced to be remote: no query is too small, and with one worker every plan is sent to it.

Wall time is from SQL text to the last row; CPU time is that of all processes of a set-up and of the client.

What more workers would bring is computed, not measured. Of each query, with N workers of one core each:

    T(N) = s + (p + c · (S · 2(N-1)/N + G + B · N/2)) / N + bytes / (N · LINK)

s   CPU time of coordinator and client with two workers, which nobody shares
p   CPU time of the worker where there is one, which exchanges nothing
S   bytes that two workers shuffle: with N, (N-1)/N of all rows change places, where it was a half
B   bytes that two workers broadcast: each of N gets them
G   bytes that are gathered at the end
c   CPU time of a byte: what two workers need more than one, divided by S + G + B
LINK  a network of 10 Gbit/s, not overlapped with anything
"""

import argparse
import json
import math
import os
import re
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/scale"))

from answers import ask, load  # noqa: E402
from nodes import Nodes  # noqa: E402
from queries import generate, queries  # noqa: E402

LINK = 10e9 / 8
UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
EXCHANGES = {"NetworkShuffleExec": "shuffled", "NetworkCoalesceExec": "gathered", "NetworkBroadcastExec": "broadcast"}
TICKS = os.sysconf("SC_CLK_TCK")
# Cores of the coordinator and the client, and of each worker.
SET_UPS = {
    "one-core": ({0}, []),
    "one-worker": ({0}, [{0}]),
    "two-cores": ({0, 1}, []),
    "two-workers": ({0, 1}, [{0}, {1}]),
}


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class SetUp:
    """Processes on their cores, and a connection."""

    def __init__(self, name, folder, raw, task_bytes):
        self.name = name
        self.cores, workers = SET_UPS[name]
        # What is started inherits the cores of this process; so do the threads of a process, of which there is one for each.
        self.nodes = None
        os.sched_setaffinity(0, self.cores)
        self.nodes = Nodes(folder, raw, len(workers), task_bytes, prefix=lambda i: ["taskset", "-c", ",".join(map(str, workers[i]))], log=name)
        self.connection = self.nodes.connect()
        self.cursor = self.connection.cursor()
        self.cursor.execute("USE tpch")
        if workers:
            # As many partitions as there are cores, as by default: a plan of one partition has nothing to spread.
            self.cursor.execute(f"SET target_partitions = {len(self.cores)}")
        ask(self.cursor, "SELECT 1")
        self.pids = [self.nodes.server.pid, *(worker.pid for worker in self.nodes.workers)]

    def run(self, sql):
        """Wall time, CPU time of each process, rows; the client on this set-up's cores."""
        for task in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(task), self.cores)
        before = [*map(cpu_seconds, self.pids), time.process_time()]
        begun = time.perf_counter()
        table = ask(self.cursor, sql)
        wall = time.perf_counter() - begun
        after = [*map(cpu_seconds, self.pids), time.process_time()]
        return wall, [b - a for a, b in zip(before, after)], table.num_rows

    def stages(self):
        return ask(self.cursor, "SELECT count(*) AS n FROM system.stages").column(0)[0].as_py()

    def figures(self, sql):
        plan = ask(self.cursor, f"EXPLAIN ANALYZE {sql}")
        return "\n".join(str(text) for text in plan.column(plan.num_columns - 1).to_pylist())

    def stop(self):
        self.cursor.close()
        self.connection.close()
        self.nodes.stop()


def exchanged(plan):
    """Bytes by kind of exchange, from the figures of a plan that ran."""
    bytes_of = dict.fromkeys(EXCHANGES.values(), 0.0)
    for line in plan.splitlines():
        kind = re.search("|".join(EXCHANGES), line)
        told = re.search(r"bytes_transferred=\{([^}]*)\}", line)
        if kind and told:
            for number, unit in re.findall(r"\d+:([\d.]+) ?([KMG]?B)", told.group(1)):
                bytes_of[EXCHANGES[kind.group()]] += float(number) * UNITS[unit]
    return bytes_of


def extrapolated(workers, one, two, moved):
    """Seconds of a query on so many workers; see above."""
    s, p = two[0] + two[-1], one[1]
    shuffled, gathered, broadcast = (moved[kind] for kind in ("shuffled", "gathered", "broadcast"))
    total = shuffled + gathered + broadcast
    c = max(sum(two[1:-1]) - p, 0.0) / total if total else 0.0
    moving = shuffled * 2 * (workers - 1) / workers + gathered + broadcast * workers / 2
    return s + (p + c * moving) / workers + moving / (workers * LINK)


def geomean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="10")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", help="numbers, with commas; all of them by default")
    parser.add_argument("--set-ups", default=",".join(SET_UPS))
    # Two workers have work of every table but the smallest.
    parser.add_argument("--task-bytes", type=int, default=1 << 20)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    raw = given.folder.resolve() / f"tpch-{given.scale}"
    tables = generate("tpch", given.scale, raw)
    wanted = {int(n) for n in given.queries.split(",")} if given.queries else None
    asked = [(number, mine) for number, _, mine in queries("tpch") if wanted is None or number in wanted]
    folder = given.folder / f"lake-{given.scale}"
    with Nodes(folder, raw, 0, given.task_bytes) as nodes:
        load(nodes, "tpch", raw, tables)

    every_core = os.sched_getaffinity(0)
    set_ups = [SetUp(name, folder, raw, given.task_bytes) for name in given.set_ups.split(",")]
    told = {number: {s.name: {"wall": [], "cpu": []} for s in set_ups} for number, _ in asked}
    try:
        for attempt in range(given.rounds + 1):
            for at, (number, sql) in enumerate(asked):
                # Who goes first changes with every query and round.
                turn = (at + attempt) % len(set_ups)
                for set_up in set_ups[turn:] + set_ups[:turn]:
                    stages = set_up.stages() if attempt == 0 else 0
                    wall, cpu, rows = set_up.run(sql)
                    here = told[number][set_up.name]
                    if attempt == 0:
                        # Fills caches; not counted.
                        here["stages"], here["rows"] = set_up.stages() - stages, rows
                        continue
                    here["wall"].append(wall)
                    here["cpu"].append(cpu)
                if attempt:
                    print(f"{number}: " + ", ".join(f"{s.name} {told[number][s.name]['wall'][-1] * 1000:.0f} ms" for s in set_ups), flush=True)
        for set_up in set_ups:
            if set_up.name == "two-workers":
                for number, sql in asked:
                    told[number]["moved"] = exchanged(set_up.figures(sql))
    finally:
        os.sched_setaffinity(0, every_core)
        for set_up in set_ups:
            set_up.stop()

    for number, _ in asked:
        rows = {told[number][s.name]["rows"] for s in set_ups}
        assert len(rows) == 1, f"query {number}: {rows} rows"
    median = lambda number, name: statistics.median(told[number][name]["wall"])  # noqa: E731
    cpu = lambda number, name: statistics.median(sum(run) for run in told[number][name]["cpu"])  # noqa: E731
    names = [s.name for s in set_ups]
    print(f"\n| query | {' | '.join(f'{name} ms (CPU ms)' for name in names)} |")
    print(f"|---:|{'---:|' * len(names)}")
    for number, _ in asked:
        print(f"| {number} | " + " | ".join(f"{median(number, n) * 1000:.0f} ({cpu(number, n) * 1000:.0f})" for n in names) + " |")
    for over, under, what in (("one-worker", "one-core", "overhead of one worker"), ("one-worker", "two-workers", "speed of two workers, in one worker's"),
                              ("one-core", "two-cores", "speed of two cores in process, in one core's"), ("two-workers", "two-cores", "two workers against two cores in process")):
        if over not in names or under not in names:
            continue
        remote = [n for n, _ in asked if all(told[n][name]["stages"] > 0 for name in (over, under) if "worker" in name)]
        left = [str(n) for n, _ in asked if n not in remote]
        ratios = {n: median(n, over) / median(n, under) for n in remote}
        worst = max(ratios, key=ratios.get) if ratios else None
        print(f"measured: {what}: geomean of wall time {geomean(ratios.values()):.3f}, of CPU time "
              f"{geomean(cpu(n, over) / cpu(n, under) for n in remote):.3f}; highest {ratios.get(worst, 0):.2f} (query {worst}); "
              f"{len(remote)} queries" + (f", without {', '.join(left)}, which ran on the coordinator alone" if left else ""))
    if "two-workers" in names and "one-worker" in names:
        remote = [n for n, _ in asked if all(told[n][name]["stages"] > 0 for name in ("one-worker", "two-workers"))]
        typical = lambda n, name: [statistics.median(column) for column in zip(*told[n][name]["cpu"])]  # noqa: E731
        kinds = {kind: sum(told[n]["moved"][kind] for n in remote) for kind in EXCHANGES.values()}
        print("measured: bytes between two workers and their coordinator, all queries once: "
              + ", ".join(f"{kind} {size / (1 << 20):.1f} MiB" for kind, size in kinds.items()))
        for workers in (2, 4, 8, 16):
            gain = geomean(sum(typical(n, "one-worker")) / extrapolated(workers, typical(n, "one-worker"), typical(n, "two-workers"), told[n]["moved"]) for n in remote)
            print(f"computed: {workers} workers of one core: {gain:.2f} x one worker, by CPU time")
    if given.report:
        given.report.write_text(json.dumps({"scale": given.scale, "rounds": given.rounds, "queries": told}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
