"""A `fjord serve` process: started on free ports, ready when it says so, ended with SIGTERM and checked."""

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("FJORD_BIN", str(ROOT / "target/debug/fjord"))
READY_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Server:
    """One running server and what a test may ask of its process."""

    def __init__(self, folder, config=None, arguments=()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / f"server-{time.time_ns()}.log"
        command = [
            BINARY, "serve", "--data-dir", str(self.folder / "data"),
            "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", *arguments,
        ]
        if config is not None:
            file = self.folder / "fjord.toml"
            file.write_text(config)
            file.chmod(0o600)
            command += ["--config", str(file)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        try:
            self.uri = self._announced("flight")
            self.http = self._announced("http")
            self._await_ready()
        except BaseException:
            self.process.kill()
            raise

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        """host:port of the Flight endpoint."""
        return self.uri.split("://", 1)[1]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def _announced(self, what):
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            text = self.log.read_text(errors="replace")
            found = re.search(rf"^{what}: (\S+)\s*$", text, re.MULTILINE)
            if found:
                return found.group(1)
            assert self.process.poll() is None, f"the server ended at once:\n{text[-4000:]}"
            time.sleep(0.02)
        raise AssertionError(f"the server never said `{what}: …`:\n{self.log.read_text()[-4000:]}")

    def _await_ready(self):
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            time.sleep(0.02)
        raise AssertionError(f"/readyz was never 200:\n{self.log.read_text()[-4000:]}")

    def get(self, path):
        """Status and body of a GET on the HTTP port."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self, secrets=()):
        """SIGTERM, a graceful end, status 0; no secret was written down."""
        metrics = self.get("/metrics")[1] if self.process.poll() is None else ""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"no end after SIGTERM:\n{self.log.read_text()[-4000:]}") from None
        text = self.log.read_text(errors="replace")
        assert status == 0, f"exit status {status}:\n{text[-4000:]}"
        assert "panicked" not in text, text[-8000:]
        history = self.history()
        for secret in secrets:
            assert secret not in text and secret not in metrics, "a secret is in the log or the metrics"
            assert secret.encode() not in history, "a secret is in the history of statements"

    def history(self):
        """What is kept of statements, behind `system.queries`: all files, as they are."""
        kept = sorted((self.folder / "data/queries").rglob("*"))
        return b"".join(file.read_bytes() for file in kept if file.is_file())

    def kill(self):
        """SIGKILL, as when the machine loses its power."""
        self.process.kill()
        self.process.wait(STOP_SECONDS_MAX)

    def open_files(self):
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def busy(self, seconds=0.5):
        """Cores in use, over a short while."""
        before = self.cpu_seconds()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / seconds

    def rss_bytes(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def await_work(self, seconds=20):
        """Waits until a query keeps a core busy."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.busy(0.25) > 0.5:
                return
        raise AssertionError("the query never used the processor")

    def assert_idle_within(self, seconds=2.0):
        """The work stops: within `seconds` the process uses less than a fifth of a core."""
        deadline = time.monotonic() + seconds
        used = None
        while time.monotonic() < deadline:
            used = self.busy(0.3)
            if used < 0.2:
                return
        raise AssertionError(f"still {used:.2f} cores busy after {seconds} s")
