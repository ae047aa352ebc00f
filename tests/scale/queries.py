"""TPC-H and TPC-DS: data and queries, from DuckDB's generators."""

import glob
import importlib.util
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = {"tpch": "dbgen", "tpcds": "dsdgen"}

# What Fjord spells otherwise than DuckDB does: query, what stands there, what stands there instead, why.
ADAPTED = {"tpch": {}, "tpcds": {}}


def generator(suite):
    """DuckDB with the generator of a suite."""
    connection = duckdb.connect()
    package = importlib.util.find_spec(f"duckdb_extension_{suite}")
    if package is None:
        raise SystemExit(f"pip install duckdb=={duckdb.__version__} duckdb-extension-{suite}")
    [file] = glob.glob(f"{package.submodule_search_locations[0]}/extensions/v{duckdb.__version__}/*.duckdb_extension")
    connection.execute(f"LOAD '{file}'")
    return connection


def generate(suite, factor, folder):
    """The tables as Parquet files in `folder`, unless they are there; their names."""
    folder = Path(folder)
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        connection = generator(suite)
        connection.execute(f"CALL {GENERATORS[suite]}(sf = {factor})")
        for (table,) in connection.execute("SHOW TABLES").fetchall():
            connection.execute(f"COPY {table} TO '{folder / table}.parquet'")
        done.touch()
    return sorted(file.stem for file in folder.glob("*.parquet"))


def queries(suite):
    """Number, the query as DuckDB has it, the query as Fjord has it."""
    if suite == "tpch":
        files = sorted((ROOT / "benches/tpch").glob("q*.sql"))
        told = [(int(file.stem[1:]), file.read_text()) for file in files]
    else:
        told = generator(suite).execute("SELECT query_nr, query FROM tpcds_queries() ORDER BY 1").fetchall()
    for number, text in told:
        mine = text
        for old, new, _ in ADAPTED[suite].get(number, ()):
            assert old in mine, f"{suite} {number}: {old!r} is not there"
            mine = mine.replace(old, new)
        yield number, text, mine


def oracle(suite, folder):
    """DuckDB over the same files."""
    connection = duckdb.connect()
    for file in Path(folder).glob("*.parquet"):
        connection.execute(f"CREATE VIEW {file.stem} AS SELECT * FROM read_parquet('{file}')")
    return connection
