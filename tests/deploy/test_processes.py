"""The start commands of docker/compose.yaml and docker/kubernetes, with their own configuration files, as processes of this machine.

Addresses become free ports, the S3 server the one that tests/counterparts/run started (FJORD_TEST_S3_…), and catalogs of servers that
are not there are left out; everything else is as it is written there.
"""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("FJORD_BIN", str(ROOT / "target/debug/fjord"))
READY_SECONDS_MAX = 40
STOP_SECONDS_MAX = 40
S3 = {name: os.environ.get(f"FJORD_TEST_S3_{name}") for name in ("ENDPOINT", "KEY", "SECRET", "BUCKET")}
PASSWORD = "right-of-this-test"

pytestmark = pytest.mark.skipif(not all(S3.values()), reason="no S3 server: run by tests/counterparts/run --with s3")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Node:
    """A start command with other addresses: every `ADDRESS:PORT` has a free port of loopback."""

    def __init__(self, folder, name, command, environment, addresses):
        self.name, self.log = name, folder / f"{name}.log"
        self.ports = {}
        words = [self._here(word, addresses) for word in command]
        self.process = subprocess.Popen(
            [BINARY, *words], env={"PATH": os.environ["PATH"], **environment}, cwd=folder,
            stdout=self.log.open("wb"), stderr=subprocess.STDOUT)

    def _here(self, word, addresses):
        def port(number):
            return addresses.setdefault((self.name, number), free_port())

        def moved(match):
            scheme, host, number = match.groups()
            if host not in ("0.0.0.0", "self"):
                # Another node's, which is there already.
                return f"{scheme}127.0.0.1:{addresses[(host, number)]}"
            self.ports[number] = port(number)
            return f"{scheme}127.0.0.1:{port(number)}"

        return re.sub(r"(grpc://|)([\w.-]+):(\d+)", moved, word)

    def status(self, path, number="8080"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[number]}{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def wait(self, path):
        deadline = time.monotonic() + READY_SECONDS_MAX
        while self.status(path) != 200:
            assert self.process.poll() is None, f"{self.name} ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"{self.name} was never ready:\n{self.log.read_text()}"
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_SECONDS_MAX)
        assert status == 0, f"{self.name} ended with {status}:\n{self.log.read_text()}"


def configuration(source, folder):
    """The file that is mounted, on this machine's S3 server and paths."""
    text = source.read_text()
    text = re.sub(r'endpoint = "[^"]*"', f'endpoint = "{S3["ENDPOINT"]}"', text)
    text = text.replace("s3://datalake/", f"s3://{S3['BUCKET']}/deploy-{folder.name}/")
    text = text.replace("/etc/fjord/secrets/", f"{folder}/")
    # A server is ready when its catalogs answer.
    text = "\n[".join(part for part in text.split("\n[") if not part.startswith(("catalog.nessie]", "catalog.sales]")))
    file = folder / "mounted.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file


def sql(url, text, folder, **environment):
    words = [BINARY, "sql", "--url", url, "--format", "csv", "-c", text]
    return subprocess.run(words, env={"PATH": os.environ["PATH"], **environment}, cwd=folder,
                          capture_output=True, text=True, timeout=120, check=False)


def checked(nodes, coordinator, folder, **environment):
    """Workers come, a query runs on them, and all of them end well."""
    url = f"grpc://127.0.0.1:{coordinator.ports['32010']}"
    deadline = time.monotonic() + READY_SECONDS_MAX
    ask = "SELECT count(*) AS n FROM system.workers WHERE state = 'serving'"
    while (answer := sql(url, ask, folder, **environment)).stdout.split() != ["n", "2"]:
        logs = "\n".join(node.log.read_text() for node in nodes)
        assert time.monotonic() < deadline, f"two workers never came: {answer.stdout}{answer.stderr}\n{logs}"
        time.sleep(0.2)
    # A statement a session, and a shell has one: all in a row.
    made = sql(url, "CREATE TABLE t AS SELECT value AS n FROM generate_series(1, 200000); INSERT INTO t SELECT n + 200000 FROM t; "
               "SET cluster_bytes_min = 0; SELECT sum(n) AS s FROM t; SELECT count(*) > 0 AS remote FROM system.stages WHERE state = 'finished'",
               folder, **environment)
    assert made.returncode == 0, made.stderr
    assert "80000200000" in made.stdout, made.stdout
    assert "true" in made.stdout, made.stdout
    for node in reversed(nodes):
        node.stop()


def test_compose(tmp_path):
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    config = configuration(ROOT / "docker/compose/fjord.toml", tmp_path)
    addresses, nodes = {}, []
    try:
        for name in ("coordinator", "worker-1", "worker-2"):
            service = services[name]
            # What `${NAME:-default}` is without an environment of one's own.
            environment = {k: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(v)) for k, v in service["environment"].items()}
            data = tmp_path / name
            data.mkdir()
            environment |= {"FJORD_CONFIG": str(config), "FJORD_DATA_DIR": str(data), "MINIO_KEY": S3["KEY"], "MINIO_SECRET": S3["SECRET"]}
            command = [word.replace(f"//{name}:", "//self:") for word in service["command"]]
            nodes.append(Node(tmp_path, name, command, environment, addresses))
            nodes[-1].wait("/readyz")
        check = services["coordinator"]["healthcheck"]["test"]
        assert check[:2] == ["CMD", "fjord"]
        words = [word.replace("32010", str(nodes[0].ports["32010"])) for word in check[2:]]
        assert subprocess.run([BINARY, *words], cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode == 0
        checked(nodes, nodes[0], tmp_path)
    finally:
        for node in nodes:
            node.process.kill()


def test_kubernetes(tmp_path):
    folder = ROOT / "docker/kubernetes"
    config = configuration(folder / "fjord.toml", tmp_path)
    users = subprocess.run([BINARY, "passwd", "admin"], input=f"{PASSWORD}\n", capture_output=True, text=True, check=False, cwd=tmp_path)
    assert users.returncode == 0, users.stderr
    (tmp_path / "users").write_text(users.stdout)
    (tmp_path / "users").chmod(0o600)
    secrets = {"cluster-secret": "0123456789abcdef0123", "s3-key": S3["KEY"], "s3-secret": S3["SECRET"]}
    addresses, nodes = {}, []
    try:
        for file, name in (("coordinator.yaml", "fjord"), ("workers.yaml", "worker-1"), ("workers.yaml", "worker-2")):
            documents = yaml.safe_load_all((folder / file).read_text())
            [pod] = [d["spec"]["template"]["spec"] for d in documents if d["kind"] in ("StatefulSet", "Deployment")]
            [container] = pod["containers"]
            environment = {}
            for variable in container["env"]:
                source = variable.get("valueFrom", {})
                environment[variable["name"]] = (
                    secrets[source["secretKeyRef"]["key"]] if "secretKeyRef" in source
                    else "self" if "fieldRef" in source else variable["value"])
            command = [re.sub(r"\$\((\w+)\)", lambda m: environment[m.group(1)], word) for word in container["args"]]
            data = tmp_path / name
            data.mkdir()
            environment |= {"FJORD_CONFIG": str(config), "FJORD_DATA_DIR": str(data)}
            nodes.append(Node(tmp_path, name, command, environment, addresses))
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                nodes[-1].wait(container[probe]["httpGet"]["path"])
        refused = sql(f"grpc://127.0.0.1:{nodes[0].ports['32010']}", "SELECT 1", tmp_path)
        assert refused.returncode != 0, "nobody has to log in"
        checked(nodes, nodes[0], tmp_path, FJORD_USER="admin", FJORD_PASSWORD=PASSWORD)
    finally:
        for node in nodes:
            node.process.kill()
