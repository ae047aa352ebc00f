"""docker/compose.yaml and docker/Dockerfile, read by the libraries of Compose and BuildKit (`go/`)."""

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent / "go"


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go")
def test_compose_and_buildkit_find_nothing_wrong():
    done = subprocess.run(["go", "test", "-count=1", "./..."], cwd=FOLDER, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
