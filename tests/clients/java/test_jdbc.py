"""The Flight SQL JDBC driver: one run of Maven against our servers, each Java test a test of its own here."""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from configurations import ADMIN, USERS
from wire import Wire

HERE = Path(__file__).parent
SECONDS_MAX = 540


def names():
    """Class and method of every `@Test` in the sources."""
    for file in sorted((HERE / "src/test/java/fjord").glob("*Test.java")):
        for method in re.findall(r"@Test\s+void (\w+)\(", file.read_text()):
            yield f"{file.stem}.{method}"


@pytest.fixture(scope="session")
def outcomes(open_server, password_server, tls_server, certificates, tmp_path_factory):
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.skip("needs a JDK and Maven")
    with Wire(password_server) as wire:
        token = wire.token(ADMIN, USERS[ADMIN]).removeprefix("Bearer ")
    environment = os.environ | {
        "FJORD_OPEN_ADDRESS": open_server.address,
        "FJORD_OPEN_PID": str(open_server.pid),
        "FJORD_PASSWORD_ADDRESS": password_server.address,
        "FJORD_TLS_ADDRESS": tls_server.address,
        "FJORD_TLS_AUTHORITY": str(certificates.authority),
        "FJORD_USER": ADMIN,
        "FJORD_SECRET": USERS[ADMIN],
        "FJORD_TOKEN": token,
    }
    build = tmp_path_factory.mktemp("maven")
    command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), f"-DbuildDirectory={build}", "test"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX)
    found = {}
    for report in (build / "surefire-reports").glob("TEST-*.xml"):
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            problem = case.find("failure") if case.find("failure") is not None else case.find("error")
            name = f"{case.get('classname').rsplit('.', 1)[-1]}.{case.get('name').removesuffix('()')}"
            found[name] = None if problem is None else problem.text or problem.get("message") or "failed"
    assert found, f"Maven ran no test:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return found


@pytest.mark.parametrize("name", list(names()))
def test_jdbc(outcomes, name):
    assert name in outcomes, "this test was not run"
    problem = outcomes[name]
    assert problem is None, problem[:4000]
