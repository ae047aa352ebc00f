"""A canary secret, said to the server in every way there is, is found nowhere afterwards (reliability J1)."""

import base64

import grpc
import pytest

from configurations import ADMIN, hashed
from server import Server
from wire import Wire, command, descriptor

CANARY = "c4n4ry-Qm9vLXNlY3JldA"
# Each names a secret where a user would; whether the statement is known or not, its secret is not repeated.
STATEMENTS = [
    f"CREATE CATALOG sales USING postgres WITH (url = 'postgres://reader:{CANARY}@127.0.0.1:1/x', password = '{CANARY}')",
    f"CREATE CATALOG sales USING postgres WITH (password = '{CANARY}'",
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
def guarded(tmp_path):
    """A server whose one password is the canary."""
    users = tmp_path / "users"
    users.write_text(f"{ADMIN}:{hashed(CANARY)}\n")
    users.chmod(0o600)
    config = f'[user.{ADMIN}]\nrole = "admin"\n[auth]\npasswords = "{users}"\n'
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
        metrics = guarded.get("/metrics")[1]
        assert CANARY not in metrics and token not in metrics
    guarded.stop([CANARY, *tokens])
    assert guarded.history(), "the history of statements was not looked at"
