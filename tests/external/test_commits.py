"""The commit checker over a lake that writers raced for and died in, and over lakes damaged on purpose."""

import glob
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

import check_commits

FJORD = os.environ.get("FJORD_BIN", "fjord")
WRITERS = 4
INSERTS = 8


def sql(directory, script, **options):
    command = [FJORD, "sql", "--data-dir", str(directory), "--format", "csv", "-c", script]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(directory, script):
    process = sql(directory, script)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    directory = tmp_path_factory.mktemp("lake")
    run(directory, "CREATE TABLE t (writer bigint, n bigint)")
    return directory


def test_writers_that_race_and_die_leave_one_whole_chain(lake):
    inserts = "".join(f"INSERT INTO t VALUES ({{writer}}, {n}); " for n in range(INSERTS))
    writers = [sql(lake, inserts.format(writer=writer)) for writer in range(WRITERS)]
    moment = random.Random(7)
    for number in range(WRITERS):
        victim = sql(lake, inserts.format(writer=100 + number))
        time.sleep(0.1 + moment.random())
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    for writer in writers:
        _, errors = writer.communicate(timeout=300)
        assert writer.returncode == 0, errors
    rows = run(lake, "SELECT count(*), count(DISTINCT writer * 100 + n) FROM t WHERE writer < 100")
    assert rows.split()[-1] == f"{WRITERS * INSERTS},{WRITERS * INSERTS}"
    tables, snapshots, problems = check_commits.check_lake(lake)
    assert (tables, problems) == (1, 0)
    assert snapshots >= WRITERS * INSERTS


def a_data_file_is_lost(lake):
    os.remove(glob.glob(f"{lake}/warehouse/**/*.parquet", recursive=True)[0])


def a_data_file_is_cut(lake):
    path = glob.glob(f"{lake}/warehouse/**/*.parquet", recursive=True)[0]
    os.truncate(path, os.path.getsize(path) - 1)


def a_manifest_is_lost(lake):
    paths = glob.glob(f"{lake}/warehouse/**/*.avro", recursive=True)
    os.remove(next(path for path in paths if not os.path.basename(path).startswith("snap-")))


@pytest.mark.parametrize("damage", [a_data_file_is_lost, a_data_file_is_cut, a_manifest_is_lost])
def test_the_checker_finds_planted_damage(tmp_path, damage):
    lake = tmp_path / "lake"
    run(lake, "CREATE TABLE t (n bigint); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
    assert check_commits.check_lake(lake)[2] == 0
    damage(lake)
    assert check_commits.check_lake(lake)[2] > 0
    shutil.rmtree(lake)
