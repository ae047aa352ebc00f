"""Grafana's calls, by the client library of its Flight SQL plugin."""

from pathlib import Path

import pytest

import go_suite

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, open_server, password_server, tls_server, certificates):
    binary = tmp_path_factory.mktemp("go") / "tests"
    return go_suite.run(HERE, binary, open_server, password_server, tls_server, certificates)


@pytest.mark.parametrize("name", list(go_suite.names(HERE)))
def test_go_grafana(outcomes, name):
    go_suite.check(outcomes, name)
