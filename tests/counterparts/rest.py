"""The Iceberg REST endpoint of the server of `s3`, with one table bucket as its warehouse."""

import os
import shlex
import subprocess

import process

NEEDS = ("s3",)
WAREHOUSE = "tables"


def start(_folder):
    """Makes the table bucket. Variables: FJORD_TEST_REST_URI, FJORD_TEST_REST_WAREHOUSE."""
    uri = os.environ["FJORD_TEST_S3_ICEBERG_URI"]
    shell = shlex.split(os.environ["FJORD_TEST_S3_SHELL"])
    make = f"s3tables.bucket -create -name {WAREHOUSE} -account admin\n"
    made = subprocess.run(shell, input=make, capture_output=True, text=True, timeout=60)
    if made.returncode != 0 or "arn:" not in made.stdout:
        raise process.NotReady(f"no table bucket could be made:\n{made.stdout[-1000:]}{made.stderr[-1000:]}")
    if not process.answers(f"{uri}/v1/config?warehouse=s3://{WAREHOUSE}/"):
        raise process.NotReady("it does not answer")
    return {"FJORD_TEST_REST_URI": uri, "FJORD_TEST_REST_WAREHOUSE": f"s3://{WAREHOUSE}/"}, lambda: None
