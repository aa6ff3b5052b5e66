"""`turnwire serve --workers`: several processes on one port, which one parent starts and ends.

Each worker is a node of the database and has a listening socket of its own: with `SO_REUSEPORT` the
kernel spreads the connections over them. (uvicorn's `Multiprocess` hands one listening socket down,
over which they spread badly: of 400 to four processes the last got one. It also has its workers
told by signals, which a terminal or a supervisor sends them too, and a second one would end them at
once.) The parent serves nobody. It only keeps the port, so that nobody else gets it.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from turnwire_server.core.turn.backoff import delay_seconds
from turnwire_server.errors import SettingsError
from turnwire_server.serving import announce, listen_on, say_waiting
from turnwire_server.settings import Settings, is_postgres
from turnwire_server.stopping import waits_for
from turnwire_server.worker import (
    MAX_LINE_BYTES,
    Alive,
    Order,
    Ready,
    Refused,
    Report,
    Told,
    Unfinished,
)

__all__ = ["run_workers"]

logger = logging.getLogger(__name__)

_END_SECONDS = 10.0
"""After the grace time of its drain a worker has so long to end by itself."""
_ANSWER_SECONDS = 1.0
_STEADY_SECONDS = 60.0
"""A worker that has lived so long is started anew at once; one that keeps dying waits longer and
longer."""
_LOOKS = 3
"""A worker that is silent in so many looks in a row stands still."""
_RETRY_SECONDS = 1.0
_MAX_RETRY_SECONDS = 30.0


async def run_workers(
    given: Mapping[str, Any], settings: Settings, environment: Mapping[str, str]
) -> None:
    """Run `settings.workers` processes until this one is told to stop, and all have drained.

    `given` comes from the command line. A worker that starts reads `environment` and `.env` anew.

    Raises:
        SettingsError: they cannot run, or one of them could not start.
    """
    _check(settings)
    with _reserved(settings) as reservation:
        port = reservation.getsockname()[1]
        workers = _Workers({**given, "port": port}, settings, environment)
        await workers.run(reservation)


def _check(settings: Settings) -> None:
    if settings.db is None or not is_postgres(settings.db):
        raise SettingsError(
            "workers: more than one process needs PostgreSQL (--db postgresql://…);"
            " an SQLite file belongs to one"
        )
    if not hasattr(socket, "SO_REUSEPORT"):
        raise SettingsError(
            "workers: processes cannot share a port on this system (SO_REUSEPORT)."
            " Start each on a port of its own, behind a proxy"
        )


def _reserved(settings: Settings) -> socket.socket:
    """The port, for the workers alone: bound, and nobody listens."""
    if settings.port != 0:
        # A shared one would be given to us beside another service whose port is shared.
        listen_on(settings).close()
    return listen_on(settings, is_shared=True)


class _Worker:
    """One process, from its start to its end."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.process = process
        self.started_at = time.monotonic()
        self.outcome: asyncio.Future[Ready | Refused] = loop.create_future()
        """Of its start."""
        self.unfinished: asyncio.Future[int] = loop.create_future()
        """How many turns ran in it when it was told to end."""
        self.is_told = False
        self.silent_looks = 0
        """So often the parent has looked since it has last said that it is alive."""
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader), name="reports")
        self.end = asyncio.create_task(self._end(), name="worker")
        """Done when it has ended; its exit code, negative for a signal."""

    @classmethod
    async def start(cls, order: Order, environment: Mapping[str, str]) -> "_Worker":
        """The settings do not go through arguments, which everybody on the machine can read."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "turnwire_server.worker"),
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=environment,
                    # Ctrl-C in a terminal is for the parent, which tells its workers.
                    process_group=0,
                )
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE_BYTES)
        except BaseException:
            ours.close()  # A process that has been started sees that, and ends.
            raise
        writer.write(order.model_dump_json().encode() + b"\n")
        return cls(process, reader, writer)

    def tell(self, told: Told) -> None:
        """Tell it to end."""
        self.is_told = True
        self._writer.write(told.encode() + b"\n")

    def kill(self) -> None:
        """End it at once, if it is still there."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            async for line in reader:
                report = Report.model_validate_json(line).report
                if isinstance(report, Alive):
                    self.silent_looks = 0
                elif not isinstance(report, Unfinished):
                    self.outcome.set_result(report)
                elif not self.unfinished.done():
                    self.unfinished.set_result(report.turns)

    async def _end(self) -> int:
        code = await self.process.wait()
        # What it has said last may still be on its way. A process of a tool can hold the socket.
        await asyncio.wait([self._reading], timeout=_ANSWER_SECONDS)
        self._reading.cancel()
        self._writer.close()
        if not self.outcome.done():
            said = f"workers: a process has ended with {code} before it served"
            self.outcome.set_result(Refused(message=said))
        if not self.unfinished.done():
            self.unfinished.set_result(0)
        return code


class _Workers:
    """All of them, each in a place of its own (from 1): its successor comes into the same one."""

    def __init__(
        self, given: dict[str, Any], settings: Settings, environment: Mapping[str, str]
    ) -> None:
        self._given = given
        self._settings = settings
        self._environment = environment
        self._places = range(1, settings.workers + 1)
        # After the lease other nodes have ended its turns, and nothing is lost by killing it.
        self._look_seconds = settings.lease / _LOOKS
        self._workers: dict[int, _Worker] = {}
        self._stop = asyncio.Event()
        self._renew = asyncio.Event()
        self._renewals: dict[int, asyncio.Future[bool]] = {}
        """Places whose next start is waited for, and whether it came about."""

    async def run(self, reservation: socket.socket) -> None:
        """See `run_workers`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._take, number)
        loop.add_signal_handler(signal.SIGHUP, self._renew.set)
        work = asyncio.create_task(self._work(reservation), name="workers")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await self._drain()
            else:
                await work  # It ends only by failing.
        finally:
            stop.cancel()
            self._kill()
            await asyncio.gather(*(worker.end for worker in self._workers.values()))

    def _take(self, number: int) -> None:
        """The first signal drains, the second ends all at once."""
        if self._stop.is_set():
            self._kill()
            os._exit(128 + number)
        self._stop.set()

    def _kill(self) -> None:
        for worker in self._workers.values():
            worker.kill()

    async def _work(self, reservation: socket.socket) -> None:
        # What refuses one would refuse all, and is to be said once.
        first, *others = self._places
        ready = await self._start(first)
        await asyncio.gather(*(self._start(place) for place in others))
        announce(reservation, self._settings, is_demo=ready.is_demo)
        await asyncio.gather(
            self._renew_when_told(), self._look_often(), *map(self._keep, self._places)
        )

    async def _start(self, place: int) -> Ready:
        """A worker in this place, once it serves.

        Raises:
            SettingsError: it cannot start.
        """
        order = Order(index=place, given=self._given, alive_seconds=self._look_seconds)
        worker = self._workers[place] = await _Worker.start(order, self._environment)
        outcome = await worker.outcome
        if isinstance(outcome, Refused):
            await worker.end
            raise SettingsError(outcome.message)
        return outcome

    async def _keep(self, place: int) -> None:
        """Whenever the worker in this place ends, start another one."""
        failures = 0
        while True:
            worker = self._workers[place]
            code = await asyncio.shield(worker.end)
            if worker.is_told or time.monotonic() - worker.started_at > _STEADY_SECONDS:
                failures = 0
            if not worker.is_told:
                logger.error("worker #%d has ended with %d: it is started anew", place, code)
            while not await self._succeeded(place, failures):
                failures += 1
            failures += 1

    async def _succeeded(self, place: int, failures: int) -> bool:
        """Start another one, after a while if there were failures before; whether it serves."""
        if failures:
            delay = delay_seconds(
                failures,
                base_seconds=_RETRY_SECONDS,
                cap_seconds=_MAX_RETRY_SECONDS,
                chance=random.random(),
            )
            await asyncio.sleep(delay)
        try:
            await self._start(place)
        except SettingsError as error:
            logger.error("worker #%d cannot start, to be tried again: %s", place, error)
            is_ready = False
        else:
            is_ready = True
        if (renewal := self._renewals.pop(place, None)) is not None:
            renewal.set_result(is_ready)
        return is_ready

    async def _look_often(self) -> None:
        """Kill who stands still: the kernel would go on giving it connections.

        Looks are counted, not seconds: where the parent has stood still too, or the whole machine,
        what was said meanwhile is read first.
        """
        while True:
            await asyncio.sleep(self._look_seconds)
            for place, worker in self._workers.items():
                # One that drains, or is started, has other limits.
                if worker.is_told or worker.end.done() or not worker.outcome.done():
                    continue
                if worker.silent_looks >= _LOOKS:
                    logger.error("worker #%d stands still: it is killed", place)
                    worker.kill()
                worker.silent_looks += 1

    async def _renew_when_told(self) -> None:
        while True:
            await self._renew.wait()
            self._renew.clear()
            logger.info("the workers are started anew, one after another")
            for place in self._places:
                if not await self._renewed(place):
                    logger.error("worker #%d could not start: the others stay as they are", place)
                    break
            else:
                logger.info("all workers have been started anew")

    async def _renewed(self, place: int) -> bool:
        """Let the worker finish and go, then start another one; whether it serves."""
        loop = asyncio.get_running_loop()
        renewal: asyncio.Future[bool] = loop.create_future()
        self._renewals[place] = renewal
        worker = self._workers[place]
        if not worker.outcome.done() or worker.end.done():
            return await renewal  # One is just being started.
        worker.tell(Told.LEAVE)
        limit = loop.call_later(self._settings.drain_grace + _END_SECONDS, worker.kill)
        try:
            return await renewal
        finally:
            limit.cancel()

    async def _drain(self) -> None:
        """Have all of them drain, and wait for their end."""
        workers = list(self._workers.values())
        for worker in workers:
            if worker.outcome.done() and not worker.end.done():
                worker.tell(Told.DRAIN)
            else:
                worker.kill()
        if not workers:
            return
        counted, _ = await asyncio.wait(
            [worker.unfinished for worker in workers], timeout=_ANSWER_SECONDS
        )
        grace = self._settings.drain_grace
        say_waiting(waits_for(sum(count.result() for count in counted), grace))
        ends = [worker.end for worker in workers]
        _, late = await asyncio.wait(ends, timeout=grace + _END_SECONDS)
        if late:
            logger.error("%d workers do not end: they are killed", len(late))
