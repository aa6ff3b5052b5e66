"""What is measured, each in a process of its own on one core: Turnwire and its comparisons."""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.kit.npm import install

__all__ = ["LIMITS", "Served", "serving"]

_CORE = "0"
_AI_SDK = Path(__file__).with_name("ai_sdk")
LIMITS = {
    "max_running_turns": 100_000,
    "max_sockets": 100_000,
    "max_commands_per_second": 100_000,
    "max_uploads_per_principal": 100_000,
    "max_uploads": 100_000,
    "max_blob_bytes_per_principal": 10**15,
    "max_requests_per_second": 100_000,
    "max_streams": 100_000,
    "max_connections": 100_000,
    "max_sockets_before_hello": 100_000,
}


@dataclass
class Served:
    """A server under measurement."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time so far, of all its threads, and those of its workers."""
        return sum(time.clock_gettime(_clock_of(pid)) for pid in [self.pid, *self.workers()])

    def workers(self) -> list[int]:
        """Its processes, if it has several."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # Gone meanwhile.
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.pid:
                    found.append(int(stat.parent.name))
        return found

    def memory_bytes(self) -> int:
        """Resident memory now."""
        return self._memory("VmRSS")

    def most_memory_bytes(self) -> int:
        """The most it has been since `forget_most_memory`."""
        return self._memory("VmHWM")

    def forget_most_memory(self) -> None:
        """From now on (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(rf"{name}:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024


def _clock_of(pid: int) -> int:
    """Linux's clock of the CPU time of a process and its threads, in nanoseconds where the ticks of
    /proc are hundredths of a second; see clock_getcpuclockid(3), which Python has for threads only.
    """
    return (~pid << 3) | 2


@asynccontextmanager
async def serving(
    kind: str,
    upstream_port: int,
    *,
    durable: bool = True,
    db: str | None = None,
    limits: Mapping[str, float] = LIMITS,
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    files: int | None = None,
) -> AsyncIterator[Served]:
    """`turnwire`, `tutorial`, `relay` or `ai-sdk`, on a free port, pinned to one core.

    `db`: the database, where it is no new file. `files` is how many files the process may open.
    """
    variables = {**os.environ, "ANTHROPIC_API_KEY": "bench", **(environment or {})}
    variables["ANTHROPIC_BASE_URL"] = f"http://127.0.0.1:{upstream_port}"
    with ExitStack() as folders:
        folder = folders.enter_context(tempfile.TemporaryDirectory())
        if kind == "turnwire":
            program = str(Path(sys.executable).with_name("turnwire"))
            database = db or (str(Path(folder) / "bench.db") if durable else ":memory:")
            command = [program, "serve", "--port", "0", "--db", database]
            command += ["--limits", json.dumps(limits), *flags]
        elif kind == "ai-sdk":
            packages = install(_AI_SDK)
            work = folders.enter_context(packages.work_folder(_AI_SDK / "server.mjs"))
            command = [packages.node, str(work / "server.mjs")]
        else:
            command = [sys.executable, "-m", f"tests.bench.{kind}"]
        if files is not None:
            command = ["prlimit", f"--nofile={files}:{files}", *command]
        process = await asyncio.create_subprocess_exec(
            "taskset",
            "-c",
            _CORE,
            *command,
            env=variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(120):
                while True:
                    line = (await process.stdout.readline()).decode()
                    if match := re.search(r"http://[\d.]+:(\d+)", line):
                        break
            yield Served(int(match[1]), process.pid)
        finally:
            process.kill()
            await process.wait()
