"""A coordinator and its workers: processes on one data directory, every scan spread as far as it can be."""

import subprocess
import sys
import time
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))

from server import BINARY, Server  # noqa: E402

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 40


class Nodes:
    """One `fjord serve` and `count` processes of `fjord worker`. `prefix` is run in front of a worker's command."""

    def __init__(self, folder, raw, count, task_bytes, prefix=lambda worker: [], log="worker"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        config = (
            f"[cluster]\nbytes_min = 0\ntask_bytes = {task_bytes}\n"
            f'[storage.raw]\nprefix = "file://{Path(raw).resolve()}/"\nfiles = true\n'
        )
        self.workers = []
        self.server = Server(self.folder, config)
        try:
            for worker in range(count):
                file = (self.folder / f"{log}-{worker}.log").open("wb")
                command = [
                    *prefix(worker), BINARY, "worker", "--data-dir", str(self.folder / "data"),
                    "--coordinator", self.server.uri, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
                ]
                self.workers.append(subprocess.Popen(command, stdout=file, stderr=file, cwd=self.folder))
            self._await_workers(count)
        except BaseException:
            self.kill()
            raise

    def connect(self):
        cookies = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
        return flight_sql.connect(self.server.uri, db_kwargs=cookies, autocommit=True)

    def _await_workers(self, count):
        deadline = time.monotonic() + READY_SECONDS_MAX
        with self.connect() as connection, connection.cursor() as cursor:
            while time.monotonic() < deadline:
                cursor.execute("SELECT count(*) FROM system.workers WHERE state = 'serving'")
                if cursor.fetchone()[0] >= count:
                    return
                time.sleep(0.05)
        raise AssertionError(f"{count} workers did not come: see {self.folder}/*.log")

    def kill(self):
        for process in [*self.workers, self.server.process]:
            process.kill()
            process.wait()

    def stop(self):
        """Ends all of them as an operator would; each must end well."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            status = worker.wait(STOP_SECONDS_MAX)
            assert status == 0, f"a worker ended with status {status}: see {self.folder}/*.log"
        self.server.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop() if kind is None else self.kill()
