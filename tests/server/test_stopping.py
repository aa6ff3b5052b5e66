"""The signals that end a process: services drain first, then come the handlers that were there."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.kit.patience import patience
from turnwire_server.stopping import Stopping

Calls = list[Any]


class Service:
    """A service whose turns go on until they are released, or until there is no more grace."""

    def __init__(self, calls: Calls, name: str = "drained") -> None:
        self.calls = calls
        self.name = name
        self.began = asyncio.Event()
        self.released = asyncio.Event()

    def waits_for(self) -> str | None:
        """Turns."""
        return "turns"

    async def drain(self, grace_seconds: float | None = None) -> None:
        """Noted, once it is over."""
        self.began.set()
        if grace_seconds == 0:
            self.released.set()
            return
        await self.released.wait()
        self.calls.append(self.name)


@contextmanager
def of_the_process(handler: Callable[[], None]) -> Iterator[Callable[[], object]]:
    """As uvicorn does it. What is given says which handler there is now."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: handler())
    try:
        yield lambda: signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def of_the_loop(handler: Callable[[], None]) -> Iterator[Callable[[], object]]:
    """As hypercorn and granian do it."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, handler)
    try:
        yield lambda: loop._signal_handlers[signal.SIGTERM]  # type: ignore[attr-defined]
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def noting(calls: Calls, called: asyncio.Event) -> Callable[[], None]:
    """The server's handler."""

    def handler() -> None:
        calls.append("stopped")
        called.set()

    return handler


both_ways = pytest.mark.parametrize("installed", [of_the_process, of_the_loop])


@both_ways
async def test_what_drains_goes_first_and_the_handlers_come_back(installed: Any) -> None:
    calls: Calls = []
    called = asyncio.Event()
    stopping, service = Stopping(), Service(calls)
    with installed(noting(calls, called)) as current:
        before = current()
        stopping.join(service)
        signal.raise_signal(signal.SIGTERM)
        async with patience():
            await service.began.wait()
            assert calls == []
            service.released.set()
            await called.wait()
        stopping.leave(service)
        assert current() == before
    assert calls == ["drained", "stopped"]


@both_ways
async def test_a_second_signal_stops_the_server_at_once_and_ends_the_grace(installed: Any) -> None:
    calls: Calls = []
    called = asyncio.Event()
    stopping, service = Stopping(), Service(calls)
    with installed(noting(calls, called)):
        stopping.join(service)
        signal.raise_signal(signal.SIGTERM)
        async with patience():
            await service.began.wait()
            signal.raise_signal(signal.SIGTERM)
            await called.wait()
            await service.released.wait()
            signal.raise_signal(signal.SIGTERM)
            while calls.count("stopped") < 2:  # noqa: ASYNC110 (the third goes straight through)
                await asyncio.sleep(0)
        stopping.leave(service)
    assert calls == ["stopped", "drained", "stopped"]


async def test_two_services_drain_together_and_the_server_stops_once() -> None:
    calls: Calls = []
    called = asyncio.Event()
    stopping = Stopping()
    one, two = Service(calls, "one"), Service(calls, "two")
    with of_the_process(noting(calls, called)):
        stopping.join(one)
        stopping.join(two)
        signal.raise_signal(signal.SIGTERM)
        async with patience():
            await one.began.wait()
            await two.began.wait()
            two.released.set()
            one.released.set()
            await called.wait()
        stopping.leave(one)
        stopping.leave(two)
    assert sorted(calls[:2]) == ["one", "two"]
    assert calls[2:] == ["stopped"]


async def test_a_handler_that_somebody_has_put_over_ours_stays_and_reaches_the_first() -> None:
    calls: Calls = []
    stopping, service = Stopping(), Service(calls)
    with of_the_process(lambda: calls.append("first")):
        stopping.join(service)
        ours: Any = signal.getsignal(signal.SIGTERM)

        def theirs(number: int, frame: Any) -> None:
            calls.append("later")
            ours(number, frame)

        signal.signal(signal.SIGTERM, theirs)
        stopping.leave(service)
        assert signal.getsignal(signal.SIGTERM) is theirs
        signal.raise_signal(signal.SIGTERM)
        stopping.join(service)
        signal.raise_signal(signal.SIGTERM)
        async with patience():
            await service.began.wait()
        stopping.leave(service)
    assert calls == ["later", "first", "later"]


async def test_where_no_server_has_a_handler_nothing_is_changed() -> None:
    # Not what tests before have left there: services of theirs may run in this process.
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        stopping = Stopping()
        stopping.join(Service([]))
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
