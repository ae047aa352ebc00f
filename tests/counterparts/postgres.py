"""PostgreSQL from the distribution's package `postgresql`: an empty database on loopback, its password checked."""

import glob
import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import process

NEEDS = ()
USER = "fjord"
DATABASE = "lake"
# Users that PostgreSQL may run as when we are root, which it refuses to be.
ACCOUNTS = ("postgres", "nobody")
# Several processes with a pool each, and PyIceberg's pools.
CONNECTIONS_MAX = 200


def start(folder):
    """Starts it below `folder`; returns the variables for the command, and what ends it.

    FJORD_TEST_POSTGRES_URL holds the password too. FJORD_TEST_POSTGRES_CTL is a program that takes
    what `pg_ctl` takes (`-m immediate stop`, `start`), for tests of a server that goes away; one
    that is started by it is stopped in the end all the same. FJORD_TEST_POSTGRES_BIN has `psql`.
    FJORD_TEST_POSTGRES_CA is the certificate that vouches for the server's, which is for `localhost`; unset
    where there is no `openssl`.
    """
    programs = _programs()
    return process.retry(lambda: _start(programs, Path(folder)))


def _programs():
    """The directory of `initdb`, `pg_ctl` and `psql`; the newest version that is installed."""
    found = [Path(path).parent for path in glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    found.sort(key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    if not found:
        raise process.Unavailable("no initdb: install the package postgresql")
    return found[-1]


def _account():
    """Who runs it: ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise process.Unavailable(f"PostgreSQL does not run as root, and there is no user {' or '.join(ACCOUNTS)}")


def _start(programs, folder):
    account = _account()
    # Below /tmp: whoever runs it must be able to enter every directory on the way.
    run = Path(tempfile.mkdtemp(prefix="fjord-postgres-"))
    data, (port,) = run / "data", process.free_ports(1)
    password = secrets.token_hex(16)
    (run / "password").write_text(password)
    if account:
        for path in (run, run / "password"):
            os.chown(path, account.pw_uid, account.pw_gid)
    authority = _certificates(run, account)
    settings = {
        **({"ssl": "on", "ssl_cert_file": run / "server.crt", "ssl_key_file": run / "server.key"} if authority else {}),
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": CONNECTIONS_MAX,
        "logging_collector": "off",
    }
    try:
        _run([programs / "initdb", "--pgdata", data, "--username", USER, "--pwfile", run / "password",
              "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"], account, run)
        with (data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        ctl = _ctl(programs, account, data, run)
        subprocess.run([ctl, "start"], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=60)
        env = {**os.environ, "PGPASSWORD": password}
        _run([programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", USER, DATABASE], None, run, env)
    except BaseException as e:
        _stop(run)
        if isinstance(e, subprocess.SubprocessError):
            said = getattr(e, "stderr", None) or _log(run)
            raise process.NotReady(f"{e}\n{said}") from e
        raise
    variables = {
        "FJORD_TEST_POSTGRES_URL": f"postgres://{USER}:{password}@127.0.0.1:{port}/{DATABASE}",
        "FJORD_TEST_POSTGRES_CTL": str(ctl),
        "FJORD_TEST_POSTGRES_BIN": str(programs),
        **({"FJORD_TEST_POSTGRES_CA": str(authority)} if authority else {}),
    }
    return variables, lambda: _stop(run)


def _certificates(run, account):
    """An authority and a certificate of it for `localhost`, which only the server's user can read; `None` without openssl."""
    openssl = shutil.which("openssl")
    if not openssl:
        return None
    authority, key, request = run / "ca.crt", run / "server.key", run / "server.csr"
    names = run / "names"
    names.write_text("subjectAltName = DNS:localhost\n")
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256"]
    for command in (
        [*new, "-x509", "-days", "30", "-subj", "/CN=test authority", "-keyout", run / "ca.key", "-out", authority],
        [*new, "-subj", "/CN=localhost", "-keyout", key, "-out", request],
        ["x509", "-req", "-in", request, "-CA", authority, "-CAkey", run / "ca.key", "-CAcreateserial", "-days", "30",
         "-sha256", "-extfile", names, "-out", run / "server.crt"],
    ):
        _run([openssl, *command], None, run)
    key.chmod(0o600)
    authority.chmod(0o644)
    if account:
        for path in (key, run / "server.crt"):
            os.chown(path, account.pw_uid, account.pw_gid)
    return authority


def _run(command, account, cwd, env=None):
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    return subprocess.run([str(part) for part in command], check=True, cwd=cwd, env=env, timeout=120,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, **who)


def _ctl(programs, account, data, run):
    """A program of one line: `pg_ctl` on this server, as whoever runs it."""
    command = [programs / "pg_ctl", "-D", data, "-l", run / "log", "-w", "-t", "30"]
    as_account = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    words = [str(word) for word in (as_account if account else []) + command]
    ctl = run / "ctl"
    # Its own session: Ctrl-C reaches the runner alone, which stops its servers after the command.
    ctl.write_text(f"#!/bin/sh\ncd {shlex.quote(str(run))} && exec setsid -w {shlex.join(words)} \"$@\"\n")
    ctl.chmod(0o755)
    return ctl


def _log(run):
    log = run / "log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""


def _stop(run):
    ctl = run / "ctl"
    if ctl.exists():
        # Only disposable data. A server that a test has stopped for good is no error.
        subprocess.run([ctl, "-m", "immediate", "stop"], capture_output=True, timeout=60, check=False)
    shutil.rmtree(run, ignore_errors=True)
