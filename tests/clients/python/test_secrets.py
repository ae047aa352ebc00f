"""A canary secret, said to the server in every way there is, is found nowhere afterwards (reliability J1)."""

import base64

import grpc
import pytest

from configurations import ADMIN, hashed
from server import Server
from wire import Wire, command, descriptor

CANARY = "c4n4ry-Qm9vLXNlY3JldA"
# A variable that a statement may refer to; another that holds the secret too, and may not be.
VARIABLE = "CANARY_PASSWORD"
# Each names a secret where a user would; whether the statement is known or not, its secret is not repeated.
STATEMENTS = [
    f"CREATE CATALOG sales USING postgres WITH (url = 'postgres://reader:{CANARY}@127.0.0.1:1/x', password = '{CANARY}')",
    f"CREATE CATALOG sales USING postgres WITH (password = '{CANARY}'",
    f"CREATE CATALOG sales USING postgres WITH (url = 'postgres://reader@127.0.0.1:1/x', password = '{CANARY}')",
    f"CREATE CATALOG sales USING postgres WITH (url = 'postgres://reader@127.0.0.1:1/x', password '{CANARY}')",
    f'CREATE CATALOG sales USING postgres WITH (url = \'postgres://reader@127.0.0.1:1/x\', password = "{CANARY}")',
    f"CREATE CATALOG sales USING postgres WITH (url = 'postgres://127.0.0.1:1/x?password={CANARY}')",
    f"CREATE CATALOG sales USING postgres WITH (url = 'host=127.0.0.1 password={CANARY}')",
    f"CREATE CATALOG sales USING postgres WITH (url = 'postgres://reader@127.0.0.1:1/x', password = env('{VARIABLE}'))",
    f"CREATE CATALOG sales USING postgres WITH (url = 'postgres://reader@127.0.0.1:1/x', password = env('CANARY_VALUE'))",
    f"ALTER CATALOG live SET (password = '{CANARY}')",
    f"ALTER CATALOG live SET (url = 'postgres://reader:{CANARY}@127.0.0.1:1/x')",
    "SHOW CREATE CATALOG live",
    "SELECT * FROM live.public.t",
    "EXPLAIN SELECT * FROM live.public.t",
    "DESCRIBE live.public.t",
    "SELECT * FROM query('live', 'SELECT 1')",
    "CREATE TABLE live.public.t AS SELECT 1 AS a",
    f"CREATE TABLE s.t (a int) WITH (secret_access_key = '{CANARY}')",
    f"ALTER TABLE s.t SET TBLPROPERTIES ('password' = '{CANARY}')",
    f"CREATE USER u IDENTIFIED BY '{CANARY}'",
    f"SET fjord.password = '{CANARY}'",
    f"SELECT * FROM read_csv('s3://key:{CANARY}@bucket/x.csv')",
    f"SELECT * FROM read_csv('http://key:{CANARY}@127.0.0.1:1/x.csv')",
    f"COPY (SELECT 1) TO 's3://key:{CANARY}@bucket/x.parquet'",
    f"CALL system.kill('x', token => '{CANARY}')",
    f"EXECUTE nothing('{CANARY}')",
    f"EXPLAIN CREATE CATALOG sales USING postgres WITH (password = '{CANARY}')",
]


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """A server whose one password is the canary."""
    users = tmp_path / "users"
    users.write_text(f"{ADMIN}:{hashed(CANARY)}\n")
    users.chmod(0o600)
    config = f'[user.{ADMIN}]\nrole = "admin"\n[auth]\npasswords = "{users}"\n'
    # A live database, which nobody serves: what is said of it is said by us.
    config += '[catalog.live]\ntype = "postgres"\nurl = "postgres://reader@127.0.0.1:1/x"\npass_through = true\n'
    config += f'password = {{ env = "{VARIABLE}" }}\n'
    monkeypatch.setenv(VARIABLE, CANARY)
    monkeypatch.setenv("CANARY_VALUE", CANARY)
    server = Server(tmp_path, config)
    yield server
    if server.process.poll() is None:
        server.kill()


def told(call):
    """The error of a call that must fail, or None of one that need not."""
    try:
        call()
    except grpc.RpcError as error:
        trailing = [value if isinstance(value, str) else value.decode("latin-1") for _, value in error.trailing_metadata()]
        return error.details() + " ".join(trailing)
    return None


def test_j1_a_canary_secret_is_found_nowhere(guarded):
    tokens = set()
    with Wire(guarded) as wire:
        tokens.add(wire.token(ADMIN, CANARY).removeprefix("Bearer "))
        # Guesses that hold it: another user's name, the name itself, a header of another kind, garbage.
        for name, value in [
            ("authorization", "Basic " + base64.b64encode(f"nobody:{CANARY}".encode()).decode()),
            ("authorization", "Basic " + base64.b64encode(f"{CANARY}:x".encode()).decode()),
            ("authorization", f"Bearer {CANARY}"),
            ("authorization", f"Digest {CANARY}"),
            ("cookie", f"fjord_session={CANARY}"),
        ]:
            error = told(lambda: wire.unary("GetFlightInfo", descriptor(command("CommandStatementQuery", {1: "SELECT 1"})), [(name, value)]))
            assert error and CANARY not in error, error
        (token,) = tokens
        own = [("authorization", f"Bearer {token}")]
        wire.headers = own
        wire.update("CREATE SCHEMA s")
        wire.update("CREATE TABLE s.t (a int)")
        failed = 0
        for sql in STATEMENTS:
            for call in [
                lambda: wire.frames(wire.query(sql).ticket),
                lambda: wire.update(sql),
                lambda: wire.prepare(sql),
            ]:
                error = told(call)
                failed += error is not None
                assert error is None or CANARY not in error, (sql, error)
        assert failed > len(STATEMENTS), "statements that should fail did not"
        # What clients carry is a secret too, were it ours.
        for call in [
            lambda: wire.frames(CANARY.encode()),
            lambda: wire.run_prepared(CANARY.encode()),
            lambda: wire.action("ClosePreparedStatement", command("ActionClosePreparedStatementRequest", {1: CANARY.encode()})),
        ]:
            error = told(call)
            assert error is None or CANARY not in error, error
        plan = wire.rows("EXPLAIN SELECT * FROM s.t WHERE a = 1")
        seen = wire.rows("SELECT * FROM system.queries")
        assert seen.num_rows >= len(STATEMENTS)
        for table in (plan, seen):
            assert CANARY not in str(table.to_pylist())
        shown = wire.rows("SHOW CREATE CATALOG live")
        assert f"env('{VARIABLE}')" in str(shown.to_pylist()) and CANARY not in str(shown.to_pylist())
        metrics = guarded.get("/metrics")[1]
        assert CANARY not in metrics and token not in metrics
    guarded.stop([CANARY, *tokens])
    for file in (guarded.folder / "data").rglob("*"):
        # A property that a user puts on a table is the table's.
        assert "warehouse" in file.parts or not file.is_file() or CANARY.encode() not in file.read_bytes(), file
    assert guarded.history(), "the history of statements was not looked at"
