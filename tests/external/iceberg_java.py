"""Iceberg Java as a second engine on a data directory: one process, one command a line."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

WRITERS = Path(__file__).resolve().parents[1] / "writers"
BUILD_SECONDS_MAX = 540


def build(folder):
    """Compiles the program with Maven; returns its class path."""
    if shutil.which("javac") is None or shutil.which("mvn") is None:
        pytest.skip("Iceberg Java: needs a JDK and Maven")
    classes = folder / "classpath.txt"
    command = [
        "mvn", "-q", "-B", "-f", str(WRITERS / "pom.xml"), f"-DbuildDirectory={folder}",
        "compile", "dependency:build-classpath", f"-Dmdep.outputFile={classes}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX)
    assert done.returncode == 0, f"Maven failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    return f"{folder}/classes{os.pathsep}{classes.read_text().strip()}"


class IcebergJava:
    """The program on one data directory."""

    def __init__(self, class_path, directory):
        command = ["java", "-Xmx512m", "-Duser.timezone=UTC", "-cp", class_path, "fjord.IcebergWriter", str(directory)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, do, table, **arguments):
        self.process.stdin.write(json.dumps({"do": do, "table": table, **arguments}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()[-4000:]
        answer = json.loads(line)
        assert "ok" in answer, f"{do} {arguments}: {answer}"
        return answer["ok"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)
