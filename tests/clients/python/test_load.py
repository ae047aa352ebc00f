"""A short version of `tests/scripts/load`: a hundred clients, forty queries through a narrow gate, and a full queue."""

import pytest

import load
from server import Server

GATE = "[limits]\nqueries_running_max = 4\n"
SHORT_QUEUE = "[limits]\nqueries_running_max = 2\nqueries_queued_max = 4\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A lake with small tables, and the texts of queries that read them."""
    folder = tmp_path_factory.mktemp("load")
    return folder, load.load(folder, tpch=None, orders=20_000)


def test_a_crowd_of_clients_and_queries_sees_no_error_and_leaves_no_file_open(made):
    folder, texts = made
    server = Server(folder, GATE)
    try:
        before = load.files_before(server, texts)
        outcomes, _ = load.at_once(server, ["SELECT 1"] * 100)
        assert outcomes == {"ok": 100}
        outcomes, _ = load.at_once(server, [texts[i % len(texts)] for i in range(40)], "load")
        assert outcomes == {"ok": 40}
        assert load.files_after(server, before) <= before + load.FILES_LEFT_MAX
    finally:
        server.stop()


def test_a_full_queue_refuses_with_queue_full_and_nothing_else(made):
    folder, texts = made
    server = Server(folder, SHORT_QUEUE)
    try:
        outcomes, _ = load.at_once(server, [texts[i % len(texts)] for i in range(40)], "load")
        assert set(outcomes) == {"ok", "QUEUE_FULL"}, outcomes
        assert outcomes["ok"] >= 6, outcomes
    finally:
        server.stop()
