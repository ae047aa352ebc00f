"""The Python blocks of docs/quickstart-python.md, each run as it stands against a server."""

import re

import pytest

from configurations import ADMIN, USERS
from server import ROOT

PAGE = ROOT / "docs/quickstart-python.md"
BLOCK = re.compile(r"^```python *(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPEN_URL = "grpc://127.0.0.1:32010"
POLARS_URL = "flightsql://127.0.0.1:32010"
TLS_URL = "grpc+tls://lake.example:32010"


def blocks(kind):
    """Code and line of each block of a kind."""
    text = PAGE.read_text()
    found = BLOCK.finditer(text)
    return [(m.group(2), text[: m.start(2)].count("\n")) for m in found if m.group(1) == kind]


def run(kind, replaced):
    """Runs the blocks in one namespace, as a reader would; a failure names the page's line."""
    names = {}
    for code, line in blocks(kind):
        for old, new in replaced.items():
            code = code.replace(old, new)
        exec(compile("\n" * line + code, PAGE, "exec"), names)
    return names


def test_every_block_is_of_a_kind_that_is_run():
    fences = re.findall(r"^```python *(\w*)$", PAGE.read_text(), re.MULTILINE)
    assert len(fences) >= 13 and set(fences) == {"", "tls"}
    assert len(fences) == len(blocks("")) + len(blocks("tls"))


def test_the_python_quickstart_runs_from_top_to_bottom(open_server, capsys):
    names = run("", {OPEN_URL: open_server.uri, POLARS_URL: f"flightsql://{open_server.address}"})
    told = capsys.readouterr().out
    assert told.startswith("720\n"), told
    assert "3000000\n" in told and "100000\n" in told
    assert "nope" in told and "gave up: " in told
    assert len(names["daily"]) == 91 and names["same"].shape == (4, 2)
    assert "readings" in str(names["objects"])
    assert names["connection"] is not None


def test_the_login_of_the_python_quickstart_works(tls_server, certificates, capsys):
    run("tls", {
        TLS_URL: f"grpc+tls://{tls_server.address}",
        '"ada"': repr(ADMIN),
        '"the password"': repr(USERS[ADMIN]),
        '"authority.pem"': repr(str(certificates.authority)),
    })
    assert capsys.readouterr().out == "(1,)\n"


def test_the_five_minute_path_of_the_readme_plots(open_server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    section = (ROOT / "README.md").read_text().split("## Serve it", 1)[1].split("\n## ", 1)[0]
    [(_, code)] = BLOCK.findall(section)
    exec(compile(code.replace(OPEN_URL, open_server.uri), "README.md", "exec"), {})
    picture = (tmp_path / "waves.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and len(picture) > 5_000


@pytest.mark.parametrize("page", ["quickstart-python", "quickstart-jdbc", "quickstart-grafana", "flight-sql"])
def test_links_between_the_pages_lead_somewhere(page):
    path = ROOT / f"docs/{page}.md"
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    assert links or page == "quickstart-grafana"
    for link in links:
        assert "://" in link or (path.parent / link).exists(), link
