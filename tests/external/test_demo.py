"""The demo's tables: DuckDB computes them again from the raw file; PyIceberg and DuckDB read them alike."""

import time

import pytest

import check_demo
from conftest import ROOT

TABLES_MIN = 4


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    from conftest import Lake

    lake = Lake(tmp_path_factory.mktemp("demo") / "lake")
    start = time.monotonic()
    done = lake.run("demo")
    lake.seconds, lake.printed = time.monotonic() - start, done.stdout + done.stderr
    return lake


def tables(lake):
    catalog = lake.catalog()
    return [".".join(t) for n in catalog.list_namespaces() for t in catalog.list_tables(n)]


def test_the_demo_makes_its_tables(demo):
    names = tables(demo)
    assert "gold.customer_metrics" in names and len(names) >= TABLES_MIN, names
    print(f"measured: demo took {demo.seconds:.1f} s")


def test_pyiceberg_and_duckdb_read_the_demo_alike(demo, duck):
    for name in tables(demo):
        ours = demo.sql(f"SELECT count(*) AS n FROM {name};")[0]["n"]
        theirs = demo.table(name).scan().to_arrow()
        assert theirs.num_rows == ours, name
        duck.register("py", theirs)
        file = demo.metadata_file(name)
        difference = duck.execute(
            f"SELECT count(*) FROM ((FROM py EXCEPT ALL FROM iceberg_scan('{file}')) UNION ALL "
            f"(FROM iceberg_scan('{file}') EXCEPT ALL FROM py))"
        ).fetchone()[0]
        assert difference == 0, f"{name}: {difference} rows differ between PyIceberg and DuckDB"
        csv = demo.path.parent / "ours.csv"
        csv.write_text(demo.run("sql", "--format", "csv", "-c", f"SELECT * FROM {name}").stdout)
        columns = ", ".join(f'"{c}"' for c in theirs.schema.names)
        types = {c: t for c, t in duck.execute(f"SELECT column_name, column_type FROM (DESCRIBE py)").fetchall()}
        spec = "{" + ", ".join(f"'{c}': '{t}'" for c, t in types.items()) + "}"
        read = f"(SELECT {columns} FROM read_csv('{csv}', header = true, columns = {spec}))"
        difference = duck.execute(
            f"SELECT count(*) FROM ((FROM py EXCEPT ALL FROM {read}) UNION ALL (FROM {read} EXCEPT ALL FROM py))"
        ).fetchone()[0]
        assert difference == 0, f"{name}: {difference} rows differ between Fjord and PyIceberg"
        duck.unregister("py")


def test_duckdb_computes_the_same_rejects_by_reason_and_gold(demo):
    assert check_demo.main(demo.path) == 0


def test_the_demo_runs_twice(demo):
    before = demo.sql("SELECT count(*) AS n FROM gold.customer_metrics;")
    demo.run("demo")
    assert demo.sql("SELECT count(*) AS n FROM gold.customer_metrics;") == before
