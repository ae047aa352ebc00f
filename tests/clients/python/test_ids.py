"""Every behaviour of a client that Fjord promises to serve has a test with its id in the name."""

import re
from pathlib import Path

CLIENTS = Path(__file__).parents[1]
PROMISED = {"adbc": 31, "jdbc": 18, "graf": 12, "p": 18}

# Id → why it needs no test of its own. Empty: nothing is left out.
LEFT_OUT = {}


def all_names():
    """The names of all tests, in Python, Java and Go."""
    patterns = {"*.py": r"^def (test_\w+)", "*.java": r"@Test\s+void (\w+)", "*.go": r"^func (Test\w+)"}
    for glob, pattern in patterns.items():
        for file in CLIENTS.rglob(glob):
            yield from re.findall(pattern, file.read_text(), re.MULTILINE)


def ids_in(name):
    """`test_adbc_14_and_p08_…`, `jdbc07AndP07…` and `TestGraf08And09…` name two ids each."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    kind = None
    for found, number in re.findall(r"(?:^|_)(adbc|jdbc|graf|p|and)_?(\d\d)(?!\d)", words):
        kind = kind if found == "and" else found
        if kind:
            yield f"{kind}_{number}"


def test_every_promised_id_has_a_test():
    promised = {f"{kind}_{n:02}" for kind, count in PROMISED.items() for n in range(1, count + 1)}
    found = {id for name in all_names() for id in ids_in(name)}
    assert found - promised == set(), "tests name ids that do not exist"
    assert promised - found - set(LEFT_OUT) == set(), "these ids have no test in any of the suites"
    assert not found & set(LEFT_OUT), "these ids are left out and tested"


def test_ids_are_found_in_names():
    assert list(ids_in("test_adbc_14_and_p08_schemas")) == ["adbc_14", "p_08"]
    assert list(ids_in("TestGraf08And09ATimeSeries")) == ["graf_08", "graf_09"]
    assert list(ids_in("jdbc07AndP07Twelve")) == ["jdbc_07", "p_07"]
    assert list(ids_in("test_p18_with_5000_tables")) == ["p_18"]
    assert list(ids_in("test_pandas_writes")) == []
