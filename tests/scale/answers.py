"""TPC-H and TPC-DS on 0, 1 and 3 workers: the same answers each time, and DuckDB's.

    python tests/scale/answers.py --suite tpcds --scale 1 --folder bench-data/scale

Needs a built binary (FJORD_BIN), and duckdb, duckdb-extension-tpch, duckdb-extension-tpcds, pyarrow, adbc-driver-flightsql (tests/scripts/answers
makes such an environment). Tables are loaded once into `--folder` and kept for the next run. The cost gate is off, and a task reads
little, so that every plan that can be spread is. When two answers are the same is said in compare.py.

Prints a line for each query, and at the end how many ran remote stages, why the others did not, and every difference; status 1 for a
difference, or an error that is not listed. `--report FILE` writes all of it as JSON, `--plans FILE` which operators run in which stage.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.feather as feather

from compare import difference, order_difference, without_limit
from nodes import Nodes
from queries import generate, oracle, queries

# What a task reads: so little that all but the smallest tables are cut into as many tasks as there are workers.
TASK_BYTES = 16 << 10


def ask(cursor, sql):
    cursor.execute(sql)
    return cursor.fetch_arrow_table()


def load(nodes, suite, raw, tables):
    """Loads what is not there; each table in several files."""
    with nodes.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {suite}")
        there = set(ask(cursor, f"SHOW TABLES FROM {suite}").column(0).to_pylist())
        for table in tables:
            if table not in there:
                begun = time.monotonic()
                cursor.execute(f"CREATE TABLE {suite}.{table} AS SELECT * FROM read_parquet('{raw / table}.parquet')")
                print(f"loaded {suite}.{table} in {time.monotonic() - begun:.1f} s", flush=True)


class Run:
    """One number of workers."""

    def __init__(self, count, nodes, suite, tables, kept):
        self.count, self.nodes, self.suite, self.tables, self.kept = count, nodes, suite, tables, kept

    def file(self, number, what):
        return self.kept / f"{self.suite}-{number}-{self.count}-{what}.arrow"

    def query(self, number, sql):
        """Runs it with and without its limit; how it went."""
        whole, limit = without_limit(sql)
        told = {}
        with self.nodes.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"USE {self.suite}")
            before = ask(cursor, "SELECT coalesce(max(started_at), TIMESTAMP '2000-01-01 00:00:00') AS t FROM system.stages").column(0)[0]
            begun = time.monotonic()
            try:
                feather.write_feather(ask(cursor, whole), self.file(number, "all"))
                if limit is not None:
                    feather.write_feather(ask(cursor, sql), self.file(number, "limited"))
            except Exception as e:  # noqa: BLE001
                told["error"] = str(e).splitlines()[0][:600]
                return told
            told["seconds"] = round(time.monotonic() - begun, 3)
            if self.count:
                # Of both runs together.
                stages = ask(
                    cursor, "SELECT count(*), coalesce(sum(tasks), 0), coalesce(max(tasks), 0), coalesce(max(attempt), 0) "
                    f"FROM system.stages WHERE started_at > TIMESTAMP WITH TIME ZONE '{before.as_py()}'")
                told["stages"], told["tasks"], told["widest"], told["attempts"] = (c[0].as_py() for c in stages.columns)
                plan = ask(cursor, f"EXPLAIN (DISTRIBUTED) {sql}")
                told["plan"] = "\n".join(str(v) for v in plan.column(plan.num_columns - 1).to_pylist())
                if not told["stages"]:
                    told["reason"] = told["plan"].splitlines()[0]
        return told


def outline(plan):
    """Which operators run in which stage, without numbers, names of files and expressions."""
    lines = []
    for line in plan.splitlines():
        if (stage := re.search(r"┌─+ (DistributedExec|Stage \d+)", line)) is not None:
            tasks = re.search(r"tasks=(\d+)", line)
            lines.append(f"  {stage.group(1)}" + (f", {'one task' if tasks.group(1) == '1' else 'many tasks'}" if tasks else ""))
            continue
        table = re.search(r"/(\w+)-[0-9a-f]{8}/data/", line)
        if re.search(r"│ +t\d+: ", line):
            # The scan of a task; the first names the table.
            if table and " of " not in lines[-1]:
                lines[-1] += f" of {table.group(1)}"
        elif (operator := re.search(r"│( +)(?:\[Stage (\d+)\] => )?(\w+Exec)(.*)", line)) is not None:
            depth, source, name, rest = operator.groups()
            mode = re.search(r"mode=(\w+)", rest)
            lines.append("    " + depth[1:] + name + (f" ({mode.group(1)})" if mode else ""))
            lines[-1] += f" from stage {source}" if source else f" of {table.group(1)}" if table else ""
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=["tpch", "tpcds"], required=True)
    parser.add_argument("--scale", default="1")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--workers", default="0,1,3")
    parser.add_argument("--queries", help="numbers, with commas; all of them by default")
    parser.add_argument("--task-bytes", type=int, default=TASK_BYTES)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--plans", type=Path)
    given = parser.parse_args()
    suite, counts = given.suite, [int(n) for n in given.workers.split(",")]
    raw = given.folder.resolve() / f"{suite}-{given.scale}"
    tables = generate(suite, given.scale, raw)
    kept = given.folder / "answers"
    kept.mkdir(parents=True, exist_ok=True)
    wanted = {int(n) for n in given.queries.split(",")} if given.queries else None
    asked = [query for query in queries(suite) if wanted is None or query[0] in wanted]
    told = {number: {} for number, _, _ in asked}

    duckdb = oracle(suite, raw)
    for number, theirs, _ in asked:
        whole, limit = without_limit(theirs)
        feather.write_feather(duckdb.sql(whole).to_arrow_table(), kept / f"{suite}-{number}-duckdb-all.arrow")
        if limit is not None:
            feather.write_feather(duckdb.sql(theirs).to_arrow_table(), kept / f"{suite}-{number}-duckdb-limited.arrow")
    for count in counts:
        with Nodes(given.folder / f"lake-{given.scale}", raw, count, given.task_bytes) as nodes:
            load(nodes, suite, raw, tables)
            run = Run(count, nodes, suite, tables, kept)
            for number, _, mine in asked:
                told[number][count] = run.query(number, mine)
                shown = told[number][count]
                print(f"{suite} {number} on {count}: " + ", ".join(f"{k} {v}" for k, v in shown.items() if k != "plan"), flush=True)

    problems = []
    for number, _, mine in asked:
        limit = without_limit(mine)[1]
        sides = [count for count in counts if "error" not in told[number][count]]
        problems += [f"{suite} {number} on {c}: {told[number][c]['error']}" for c in counts if c not in sides]
        if not sides:
            continue
        table = lambda side, what: feather.read_table(kept / f"{suite}-{number}-{side}-{what}.arrow", memory_map=False)  # noqa: E731
        first = table(sides[0], "all")
        told[number]["rows"] = first.num_rows
        for side in [*sides, "duckdb"]:
            name = f"{suite} {number} on {side}"
            found = table(side, "all")
            # Floating point and averages apart, the rows on workers are those in one process.
            if side != sides[0] and (problem := difference(found, first) or order_difference(mine, found, first)):
                problems.append(f"{name} and {sides[0]}: {problem}")
            if limit is None or side == "duckdb":
                continue
            cut = table(side, "limited")
            if cut.num_rows != min(limit, first.num_rows):
                problems.append(f"{name}: {cut.num_rows} rows with LIMIT {limit}, of {first.num_rows}")
            elif problem := difference(cut, first, part=True) or order_difference(mine, cut, first):
                problems.append(f"{name}, limited: {problem}")

    for count in [count for count in counts if count]:
        here = [told[number][count] for number in told]
        remote = sum(1 for one in here if one.get("stages"))
        print(f"measured: {suite} scale {given.scale}, {count} workers: {remote} of {len(here)} queries ran remote stages, "
              f"{sum(one.get('stages', 0) for one in here)} stages, {sum(one.get('tasks', 0) for one in here)} tasks, "
              f"{sum(1 for one in here if one.get('attempts', 0) > 1)} queries needed a second attempt")
        for reason, times in Counter(one["reason"] for one in here if "reason" in one).most_common():
            which = [str(number) for number in told if told[number][count].get("reason") == reason]
            print(f"measured: {count} workers, alone on the coordinator: {times} ({', '.join(which)}): {reason}")
    if given.plans:
        # plans-tpch.txt is that of scale 1.
        most = max(counts)
        parts = [f"{suite} {number}\n" + (outline(told[number][most]["plan"]) or "  " + told[number][most].get("reason", ""))
                 for number in told if "plan" in told[number][most]]
        given.plans.write_text("\n\n".join(parts) + "\n")
    if given.report:
        given.report.write_text(json.dumps({"problems": problems, "queries": told}, indent=1, default=str))
    for problem in problems:
        print(problem)
    print(f"{len(asked)} queries, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
