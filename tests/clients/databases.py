"""A real PostgreSQL for tests of federation: a database of its own, what stands in it, and who is connected to it.

The server is that of `tests/counterparts/run --with postgres -- COMMAND`.
"""

import os
import subprocess
import time
import uuid
from pathlib import Path
from urllib.parse import urlparse

URL = os.environ.get("FJORD_TEST_POSTGRES_URL")
CTL = os.environ.get("FJORD_TEST_POSTGRES_CTL")
BIN = os.environ.get("FJORD_TEST_POSTGRES_BIN", "")
PASSWORD_VARIABLE = "SALES_PASSWORD"


class Database:
    """A new database of the test server."""

    def __init__(self):
        self.parts = urlparse(URL)
        self.name = "f" + uuid.uuid4().hex
        self._psql(URL, f"CREATE DATABASE {self.name}")
        self.url = self.parts._replace(path=f"/{self.name}").geturl()
        self.password = self.parts.password
        bare = f"{self.parts.username}@{self.parts.hostname}:{self.parts.port}"
        self.bare = self.parts._replace(path=f"/{self.name}", netloc=bare).geturl()

    def config(self, name="sales", **options):
        """A section of the configuration, and the variable that it refers to."""
        os.environ[PASSWORD_VARIABLE] = self.password
        lines = "".join(f"{key} = {value}\n" for key, value in options.items())
        return (
            f'[catalog.{name}]\ntype = "postgres"\nurl = "{self.bare}"\n'
            f'password = {{ env = "{PASSWORD_VARIABLE}" }}\n{lines}'
        )

    def create_catalog(self, name="sales"):
        """The statement that mounts it."""
        return f"CREATE CATALOG {name} USING postgres WITH (url = '{self.bare}', password = env('{PASSWORD_VARIABLE}'))"

    def sql(self, text):
        """Runs statements; the rows of the last as lists of texts."""
        return self._psql(self.url, text)

    def _psql(self, url, text):
        command = [str(Path(BIN) / "psql"), url, "-v", "ON_ERROR_STOP=1", "-X", "-q", "-At", "-F", "\t", "-c", text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def others(self):
        """Connections of others to this database: state and the statement they are in or ended."""
        return self.sql(
            "SELECT pid, state, left(query, 60) FROM pg_stat_activity "
            f"WHERE datname = '{self.name}' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )

    def busy(self):
        """Those of them that are in a statement or a transaction."""
        return [row for row in self.others() if row[1] != "idle"]

    def assert_quiet_within(self, seconds):
        """No statement runs and no transaction is open any more."""
        deadline = time.monotonic() + seconds
        while self.busy():
            assert time.monotonic() < deadline, self.busy()
            time.sleep(0.1)


def control(*words):
    """`pg_ctl` on the test server."""
    subprocess.run([CTL, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=90)
