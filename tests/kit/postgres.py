"""A PostgreSQL for tests: a server of this process's own, in a folder of /tmp, over a socket.

The server is found on the path or where Debian has it. It refuses to run as root: then it runs as
`nobody`. Each test gets a schema of its own in it, which costs some milliseconds; a test that kills
the server starts another one (`PostgresServer`).
"""

from __future__ import annotations

import atexit
import functools
import glob
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.kit.patience import PATIENCE_SECONDS

__all__ = ["PostgresServer", "fresh_url", "postgres_server"]

_USER = "nobody"
_PLACES = "/usr/lib/postgresql/*/bin"
_FOLDERS = "/tmp"
"""And not where TMPDIR says: the name of a socket has at most 107 bytes, it stands in an address,
and `nobody` has to get there."""


class PostgresServer:
    """One server, started and killed at will; its data stay until the end.

    `host`: the address of this machine on which it listens, too. `syncs`: whether what is committed
    is on the disk, as in earnest; no test cuts the power.
    """

    def __init__(
        self, programs: Path, folder: Path, *, host: str | None = None, syncs: bool = False
    ) -> None:
        self._syncs = syncs
        self._programs = programs
        self._folder = folder
        self._host = host
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            user = pwd.getpwnam(_USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
        # Otherwise those of who runs the tests, which may not be installed.
        locale = ("--locale=C", "--encoding=UTF8")
        self._run("initdb", "-D", "data", "-U", "turnwire", "-A", "trust", "-N", *locale)
        if host is not None:
            with (folder / "data" / "pg_hba.conf").open("a", encoding="ascii") as rules:
                rules.write("host all all samenet trust\n")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        # What is killed with -9 leaves it lying; nobody else can have this folder.
        with suppress(FileNotFoundError):
            (self._folder / "data" / "postmaster.pid").unlink()
        command = [str(self._programs / "postgres"), "-D", "data", "-k", str(self._folder)]
        flags = ["-c", f"listen_addresses={self._host or ''}"]
        if not self._syncs:
            flags += ["-c", "fsync=off", "-c", "autovacuum=off"]
        with (self._folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_user(), *command, *flags],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (
            self._run("pg_isready", "-q", "-U", "turnwire", "-h", str(self._folder), check=False)
            != 0
        ):
            told = self._folder / "postgres.log"
            assert self._process.poll() is None, told.read_text("utf-8", "replace")
            assert time.monotonic() < deadline, "PostgreSQL does not come up"
            time.sleep(0.02)

    def url(self) -> str:
        """The address of a schema that nobody has used."""
        return f"postgresql://turnwire@/postgres?host={self._folder}&search_path={_fresh()}"

    def over_tcp(self, url: str) -> str:
        """The same schema, as it is reached on `host`."""
        there = f"turnwire@{self._host}/postgres?sslmode=disable&"
        return url.replace(f"turnwire@/postgres?host={self._folder}&", there)

    def kill(self) -> None:
        """`kill -9` of all its processes at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        # The next one is refused while one of them still has the memory that they share.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while rest := self._processes():
            assert time.monotonic() < deadline, "what was killed does not end"
            for pid in rest:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    def copy(self) -> None:
        """What is stored now, as a standby has it whose connection breaks at this moment."""
        shutil.rmtree(self._folder / "copy", ignore_errors=True)
        connection = ("-h", str(self._folder), "-U", "turnwire")
        self._run("pg_basebackup", "-D", "copy", "-X", "stream", "-c", "fast", *connection)

    def fail_over(self) -> None:
        """`kill -9`, and the copy takes its place: what was committed since it was made is gone."""
        self.kill()
        (self._folder / "data").rename(self._folder / f"lost-{secrets.token_hex(4)}")
        (self._folder / "copy").rename(self._folder / "data")
        (self._folder / "data" / "standby.signal").touch()
        self.start()
        self._run("pg_ctl", "promote", "-D", "data", "-w")

    def stop(self) -> None:
        """End it, whoever is connected."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def cpu_seconds(self) -> float:
        """User and system time so far, of all its processes that run."""
        ticks = 0
        for pid in self._processes():
            with suppress(OSError):  # It has ended meanwhile.
                fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _processes(self) -> list[int]:
        """All that run in the folder of the data, which nobody else does."""
        found: list[int] = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # Gone meanwhile, or somebody else's.
                if os.readlink(process / "cwd") == str(self._folder / "data"):
                    found.append(int(process.name))
        return found

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        finished = subprocess.run(
            [*self._as_user(), str(self._programs / program), *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
        )
        assert not check or finished.returncode == 0, f"{program}: {finished.stderr}"
        return finished.returncode

    def _as_user(self) -> list[str]:
        """What makes a command run as another user than root, and end with this process."""
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            return []
        end = [setpriv, "--pdeathsig", "QUIT"]
        if os.getuid() != 0:
            return end
        group = pwd.getpwnam(_USER).pw_gid
        return [*end, f"--reuid={_USER}", f"--regid={group}", "--clear-groups"]


@contextmanager
def postgres_server(*, host: str | None = None, syncs: bool = False) -> Iterator[PostgresServer]:
    """A server of the test's own, running; skips the test where there is none. Under CI that is a
    failure."""
    with tempfile.TemporaryDirectory(
        prefix="turnwire-pg-", dir=_FOLDERS, ignore_cleanup_errors=True
    ) as folder:
        server = PostgresServer(_programs(), Path(folder), host=host, syncs=syncs)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def fresh_url() -> str:
    """An address on the server that all tests of this process share; see `postgres_server`."""
    return _shared().url()


@functools.cache
def _shared() -> PostgresServer:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(postgres_server())


def _programs() -> Path:
    """Where `initdb` and its like are."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    for folder in sorted(glob.glob(_PLACES), reverse=True):
        if (Path(folder) / "initdb").exists():
            return Path(folder)
    reason = f"no PostgreSQL: initdb is neither on PATH nor below {_PLACES}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _fresh() -> str:
    return f"t_{secrets.token_hex(6)}"
