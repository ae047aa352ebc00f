"""What other engines did to a table, read on workers: the same rows as in one process, and as Iceberg Java reads them."""

import json
import re
import signal
import subprocess
import time

import pytest

from conftest import BINARY
from test_deletes import PRIMITIVES, ids, schema

WORKERS = 3
READY_SECONDS_MAX = 60
# Every query is spread, and every file cut into as many tasks as there are workers.
CONFIG = "[cluster]\nbytes_min = 0\ntask_bytes = 64\n"


class Cluster:
    """A coordinator and its workers on a data directory."""

    def __init__(self, lake, folder):
        self.lake, self.folder, self.processes = lake, folder, []
        (folder / "cluster.toml").write_text(CONFIG)
        self.url = self._start("serve", r"^flight: (\S+)$", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", "--config", str(folder / "cluster.toml"))
        for _ in range(WORKERS):
            self._start("worker", r"^(?:fjord: )?registered at (\S+)$", "--coordinator", self.url)

    def _start(self, command, announced, *arguments):
        log = self.folder / f"{command}-{len(self.processes)}.log"
        words = [BINARY, command, "--data-dir", str(self.lake.path), *arguments]
        self.processes.append(subprocess.Popen(words, cwd=self.folder, stdout=log.open("wb"), stderr=subprocess.STDOUT))
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not (found := re.search(announced, log.read_text(), re.MULTILINE)):
            assert self.processes[-1].poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        return found.group(1)

    def sql(self, text):
        words = [BINARY, "sql", "--url", self.url, "--format", "json", "-c", text]
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{text}\n{done.stderr[-4000:]}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            assert process.wait(40) == 0


@pytest.fixture
def cluster(lake, tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(lake, folder)
    yield cluster
    cluster.stop()


def everything(java):
    """One table with position deletes, keys, deletion vectors, renamed and promoted columns, and three partitionings."""
    rows = lambda start, end, k: [{"id": n, k: n % 10, "p": "ab"[n % 2]} for n in range(start, end)]  # noqa: E731
    java("create", "s.t", schema=schema(**PRIMITIVES), partition_by=["p"])
    java("append", "s.t", rows=rows(0, 1000, "k"))
    java("delete_positions", "s.t", ids=list(range(0, 1000, 13)))
    java("delete_equal", "s.t", by=["k"], rows=[{"k": 4}], partition="p=a")
    java("alter", "s.t", rename={"k": "key"})
    java("alter", "s.t", promote={"key": "long"})
    java("alter", "s.t", add={"k": "string"})
    java("append", "s.t", rows=[row | {"k": f"k{row['id']}"} for row in rows(1000, 2000, "key")])
    java("delete_positions", "s.t", ids=list(range(1500, 1600)), each_file=True)
    java("alter", "s.t", partition_add=["key"])
    java("append", "s.t", rows=rows(2000, 2100, "key"))
    java("alter", "s.t", partition_drop=["p"])
    java("append", "s.t", rows=rows(2100, 2200, "key"))
    java("delete_equal", "s.t", spec=0, by=["id"], rows=[{"id": n} for n in range(1, 2000, 101)], partition="p=b")
    java("alter", "s.t", format="3")
    java("delete_vector", "s.t", ids=list(range(0, 2200, 17)))


QUERIES = [
    "SELECT * FROM s.t",
    "SELECT count(*) AS n, sum(id) AS s, count(k) AS k, sum(key) AS key FROM s.t",
    "SELECT key, p, count(*) AS n, min(k) AS k FROM s.t GROUP BY key, p",
    "SELECT id FROM s.t WHERE k IS NULL AND key = 5",
    "SELECT id, key FROM s.t WHERE key >= 7 AND p = 'a'",
    "SELECT count(*) AS n FROM s.t WHERE id BETWEEN 900 AND 1100",
    "SELECT a.id FROM s.t a JOIN s.t b ON a.id = b.id + 1 WHERE a.k > 'k15'",
    "SELECT id, row_number() OVER (PARTITION BY key ORDER BY id) AS r FROM s.t",
    "SELECT count(*) AS n FROM (SELECT id FROM s.t ORDER BY id LIMIT 300) x",
]


def test_all_of_it_in_one_table(lake, java, cluster):
    everything(java)
    kept = ids(java("read", "s.t"))
    assert ids(cluster.sql("SELECT id FROM s.t")) == kept and 1500 < len(kept) < 2200
    in_order = lambda rows: sorted(json.dumps(row, sort_keys=True) for row in rows)  # noqa: E731
    for sql in QUERIES:
        assert in_order(cluster.sql(sql)) == in_order(lake.sql(f"{sql};")), sql
    # And they did run elsewhere, none of them more than once.
    [stages] = cluster.sql("SELECT count(DISTINCT query_id) AS queries, max(tasks) AS widest, max(attempt) AS attempts FROM system.stages")
    assert stages == {"queries": len(QUERIES) + 1, "widest": WORKERS, "attempts": 1}
    # What is written on workers is what was read there.
    cluster.sql("CREATE TABLE s.copy AS SELECT * FROM s.t")
    assert in_order(lake.sql("SELECT * FROM s.copy;")) == in_order(lake.sql("SELECT * FROM s.t;"))
    assert ids(java("read", "s.copy")) == kept
