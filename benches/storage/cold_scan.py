"""The same cold scan from local disk and from an S3 endpoint on loopback, in turns.

    tests/counterparts/run --with s3 -- python3 benches/storage/cold_scan.py --fjord target/release/fjord --lineitem FILE

Both tables are made of one Parquet file. Before each scan the operating system's file cache is emptied (needs root), and each
scan is a process of its own, so that neither side finds a footer, a connection or a page. Times are those of the whole process.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUERIES = {
    "sums of three columns": "SELECT sum(l_quantity), sum(l_extendedprice), sum(l_discount) FROM T",
    "a filter that half of the rows pass": (
        "SELECT count(*), sum(l_extendedprice) FROM T WHERE l_shipdate < DATE '1995-06-17'"
    ),
    "every column": (
        "SELECT max(l_orderkey), max(l_partkey), max(l_suppkey), max(l_linenumber), max(l_quantity), max(l_extendedprice), "
        "max(l_discount), max(l_tax), max(l_returnflag), max(l_linestatus), max(l_shipdate), max(l_commitdate), "
        "max(l_receiptdate), max(l_shipinstruct), max(l_shipmode), max(l_comment) FROM T"
    ),
}
SIDES = {"disk": "disk.bench.lineitem", "s3": "bucket.bench.lineitem"}
BAR = 1.3


def configuration(folder):
    environ = os.environ
    bucket = environ["FJORD_TEST_S3_BUCKET"]
    return f"""
[catalog.disk]
type = "embedded"
warehouse = "{folder}/warehouse"

[catalog.bucket]
type = "embedded"
warehouse = "s3://{bucket}/cold-scan"

[storage.bench]
prefix = "s3://{bucket}/"
endpoint = "{environ['FJORD_TEST_S3_ENDPOINT']}"
region = "us-east-1"
path_style = true
access_key_id = {{ env = "FJORD_TEST_S3_KEY" }}
secret_access_key = {{ env = "FJORD_TEST_S3_SECRET" }}
"""


def run(fjord, folder, sql):
    command = [fjord, "sql", "--config", f"{folder}/fjord.toml", "--data-dir", f"{folder}/data", "--format", "csv", "-c", sql]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{sql}\n{done.stderr}")
    return done.stdout, time.perf_counter() - began


def forget_files():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--fjord", type=Path, required=True)
    parser.add_argument("--lineitem", type=Path, required=True, help="lineitem as one Parquet file")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    fjord = given.fjord.resolve()
    folder = Path(tempfile.mkdtemp(prefix="fjord-cold-"))
    try:
        (folder / "fjord.toml").write_text(configuration(folder))
        for side, table in SIDES.items():
            schema = table.rsplit(".", 1)[0]
            run(fjord, folder, f"CREATE SCHEMA {schema}; CREATE TABLE {table} AS SELECT * FROM read_parquet('{given.lineitem.resolve()}')")
        print("| query | disk s | S3 s | S3 / disk |\n|---|---:|---:|---:|")
        ratios = []
        for what, query in QUERIES.items():
            times = {side: [] for side in SIDES}
            for turn in range(given.rounds):
                answers = {}
                for side in sorted(SIDES, reverse=turn % 2 == 1):
                    forget_files()
                    answers[side], seconds = run(fjord, folder, query.replace("FROM T", f"FROM {SIDES[side]}"))
                    times[side].append(seconds)
                if len(set(answers.values())) != 1:
                    sys.exit(f"different answers: {answers}")
            disk, s3 = (statistics.median(times[side]) for side in SIDES)
            ratios.append(s3 / disk)
            print(f"| {what} | {disk:.2f} | {s3:.2f} | {s3 / disk:.2f} |", flush=True)
        geomean = statistics.geometric_mean(ratios)
        print(f"geomean {geomean:.2f}, bar {BAR}: {'holds' if geomean <= BAR else 'MISSED'}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
