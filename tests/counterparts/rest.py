"""The Iceberg REST endpoint of the server of `s3`."""

import json
import os
import urllib.request

import process

NEEDS = ("s3",)


def start(_folder):
    """Nothing more is started. Variables: FJORD_TEST_REST_URI, FJORD_TEST_REST_WAREHOUSE."""
    uri = os.environ["FJORD_TEST_S3_ICEBERG_URI"]
    try:
        with urllib.request.urlopen(f"{uri}/v1/config", timeout=10) as answer:
            json.load(answer)
    except (OSError, ValueError) as e:
        raise process.Unavailable(f"it does not answer: {e}") from e
    return {"FJORD_TEST_REST_URI": uri, "FJORD_TEST_REST_WAREHOUSE": os.environ["FJORD_TEST_S3_BUCKET"]}, lambda: None
