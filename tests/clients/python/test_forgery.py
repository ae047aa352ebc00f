"""Ten thousand tickets and handles that are forged, altered, cut or somebody else's: all refused (ADBC-21, P6, P16)."""

import random

import grpc
import pytest

from configurations import ADMIN, READER, USERS, WRITER
from wire import SQL, Wire, command, decode, encode

EACH = 2_500
REFUSED = {"PERMISSION_DENIED", "NOT_FOUND", "INVALID_ARGUMENT"}


@pytest.fixture(scope="module")
def people(password_server):
    with Wire(password_server) as wire:
        yield wire, {user: [("authorization", wire.token(user, USERS[user]))] for user in (ADMIN, WRITER, READER)}


def sealed(ticket):
    """What is inside a statement's ticket: the bytes that the server sealed."""
    fields = decode(decode(ticket)[2][0])
    return fields[1][0]


def repacked(inside):
    return encode({1: SQL + "TicketStatementQuery", 2: encode({1: inside})})


def assert_all_refused(call, forged):
    taken = []
    for one in forged:
        try:
            call(one)
        except grpc.RpcError as error:
            if error.code().name not in REFUSED:
                taken.append((one[:40].hex(), error.code().name, error.details()))
        else:
            taken.append((one[:40].hex(), "was taken"))
        assert len(taken) < 5, taken
    assert not taken, taken


def altered(inside, random):
    at = random.randrange(len(inside))
    change = bytes([inside[at] ^ (1 << random.randrange(8))])
    return inside[:at] + change + inside[at + 1 :]


def test_p16_altered_cut_and_invented_tickets(people):
    wire, headers = people
    ticket = wire.query("SELECT 1 AS n", headers=headers[ADMIN]).ticket
    inside, dice = sealed(ticket), random.Random(5)
    forged = [repacked(altered(inside, dice)) for _ in range(EACH)]
    forged += [repacked(inside[: dice.randrange(len(inside))]) for _ in range(EACH // 2)]
    forged += [repacked(dice.randbytes(dice.randrange(1, 400))) for _ in range(EACH // 2)]
    assert_all_refused(lambda bad: wire.frames(bad, headers=headers[ADMIN]), forged)
    assert wire.table(ticket, headers=headers[ADMIN])["n"].to_pylist() == [1]


def test_adbc_21_and_p16_tickets_of_other_users(people):
    wire, headers = people
    theirs = [wire.query(f"SELECT {n} AS n", headers=headers[WRITER]).ticket for n in range(EACH // 100)]
    for other in (ADMIN, READER):
        assert_all_refused(lambda bad, other=other: wire.frames(bad, headers=headers[other]), theirs * 50)


def test_p06_altered_handles_and_those_of_other_users(people):
    wire, headers = people
    handle, *_ = wire.prepare("SELECT 1 AS n", headers=headers[ADMIN])
    dice = random.Random(6)
    forged = [altered(handle, dice) for _ in range(EACH)] + [handle[: dice.randrange(len(handle))] for _ in range(EACH // 2)]
    ticket = wire.query("SELECT 1 AS n", headers=headers[ADMIN]).ticket
    forged += [ticket, sealed(ticket)]

    def run(who):
        return lambda bad: wire.info(command("CommandPreparedStatementQuery", {1: bad}), headers=headers[who])

    assert_all_refused(run(ADMIN), forged)
    assert_all_refused(run(READER), [handle] * (EACH // 2))
    info = wire.info(command("CommandPreparedStatementQuery", {1: handle}), headers=headers[ADMIN])
    assert wire.table(info.ticket, headers=headers[ADMIN])["n"].to_pylist() == [1]


def test_p16_without_a_login_no_ticket_helps(people):
    wire, headers = people
    ticket = wire.query("SELECT 1 AS n", headers=headers[ADMIN]).ticket
    with pytest.raises(grpc.RpcError) as caught:
        wire.frames(ticket)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
