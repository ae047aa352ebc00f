"""One run of `go test` against our servers, each Go test a test of its own."""

import json
import os
import re
import shutil
import subprocess

import pytest

from configurations import ADMIN, USERS
from wire import Wire

SECONDS_MAX = 540


def names(folder):
    """Every `Test…` in the sources of a module."""
    for file in sorted(folder.glob("*_test.go")):
        yield from re.findall(r"^func (Test\w+)\(", file.read_text(), re.MULTILINE)


def run(folder, binary, open_server, password_server, tls_server, certificates):
    """{test: None, or what it said when it failed}."""
    if shutil.which("go") is None:
        pytest.skip("needs Go")
    with Wire(password_server) as wire:
        token = wire.token(ADMIN, USERS[ADMIN]).removeprefix("Bearer ")
    environment = os.environ | {
        "FJORD_OPEN_ADDRESS": open_server.address,
        "FJORD_OPEN_PID": str(open_server.pid),
        "FJORD_PASSWORD_ADDRESS": password_server.address,
        "FJORD_TLS_ADDRESS": tls_server.address,
        "FJORD_USER": ADMIN,
        "FJORD_SECRET": USERS[ADMIN],
        "FJORD_TOKEN": token,
    }
    build = subprocess.run(
        ["go", "test", "-c", "-o", str(binary), "."], cwd=folder, capture_output=True, text=True, timeout=SECONDS_MAX
    )
    assert build.returncode == 0, build.stderr[-6000:]
    # Set for the tests alone: Go itself must still trust the real roots when it fetches modules.
    environment["SSL_CERT_FILE"] = str(certificates.authority)
    command = ["go", "tool", "test2json", str(binary), "-test.v=test2json", "-test.timeout=300s"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX)
    said, found = {}, {}
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        name = event.get("Test", "").split("/")[0]
        if event["Action"] == "output":
            said.setdefault(name, []).append(event["Output"])
        elif event["Action"] in ("pass", "fail", "skip") and name and "/" not in event["Test"]:
            found[name] = None if event["Action"] == "pass" else "".join(said.get(name, ["failed"]))
    assert found, f"no test was run:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return found


def check(outcomes, name):
    assert name in outcomes, "this test was not run, or the run ended in it"
    assert outcomes[name] is None, outcomes[name][-4000:]
