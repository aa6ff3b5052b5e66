"""The watch of a turn: what observers are told, and that none of them can harm it."""

import logging
from dataclasses import replace

import pytest

from tests.kit.core import ANNA, HeldModel, Reader, services_over
from tests.kit.patience import patience
from turnwire_protocol import Done, SendBody
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.core.telemetry import NO_TELEMETRY, TurnNames
from turnwire_server.store.memory import MemoryStore
from turnwire_server.telemetry.observer import Attempt, TurnObserver
from turnwire_server.telemetry.spans import Spans
from turnwire_server.telemetry.upstream import Upstream
from turnwire_server.telemetry.watch import Watching

NAMES = TurnNames(conversation="c_1", turn="t_1", principal=ANNA, model="m")


class Noting(TurnObserver):
    """Notes what it is told; an observer of turns, too, of which each is itself."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def turn(self, names: TurnNames) -> TurnObserver:
        """The same for all."""
        self.told.append(f"turn of {names.principal}")
        return self

    def aside(self, conversation: str, attempt: Attempt) -> None:
        """Noted."""
        self.told.append(f"aside of {attempt.model}")

    def begin_attempt(self, attempt: Attempt) -> None:
        """Noted."""
        self.told.append(f"attempt {attempt.attempt} of {attempt.model}")

    def end_attempt(self, attempt: Attempt) -> None:
        """Noted."""
        has_spoken = attempt.first_delta is not None
        self.told.append(f"{attempt.stop_reason}, has spoken: {has_spoken}")

    def end(self, done: Done, code: str | None, seconds: float) -> None:
        """Noted."""
        self.told.append(f"{done.stop_reason} {code}")


class Broken(Noting):
    """Fails in the middle of it."""

    def begin_attempt(self, attempt: Attempt) -> None:
        """Does not come back."""
        self.told.append("broken")
        raise RuntimeError("broken")


async def answered(watching: Watching) -> Done:
    """The end of a turn that is watched so."""
    store, model = MemoryStore(), HeldModel()
    services = replace(services_over(store, model), telemetry=watching)
    hub = Hub(store, services, ServiceLimits())
    await hub.start()
    try:
        async with patience():
            accepted = await hub.send(ANNA, SendBody(content="Hi"))
            model.released.set()
            reader = Reader()
            ack = accepted.ack
            await reader.connect(hub, ack.conversation or "", ack.epoch or "")
            await reader.until(lambda seen: any(isinstance(event, Done) for event in seen))
            reader.disconnect()
    finally:
        await hub.close()
    return next(event for event in reader.seen if isinstance(event, Done))


async def test_an_observer_is_told_of_turn_attempt_and_end_in_their_order() -> None:
    watching, noting = Watching(), Noting()
    watching.add(noting)
    done = await answered(watching)
    assert done.stop_reason == "end_turn"
    [turn, attempt, end_of_attempt, end] = noting.told
    assert turn == f"turn of {ANNA}"
    assert attempt.startswith("attempt 1 of ")
    assert [end_of_attempt, end] == ["end_turn, has spoken: True", "end_turn None"]


async def test_an_observer_that_fails_harms_neither_the_turn_nor_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watching, broken, noting = Watching(), Broken(), Noting()
    watching.add(broken)
    watching.add(noting)
    with caplog.at_level(logging.ERROR, "turnwire_server.telemetry"):
        done = await answered(watching)
    assert done.stop_reason == "end_turn"
    assert broken.told == [f"turn of {ANNA}", "broken"], "it is told no more"
    assert len(noting.told) == 4
    assert len(caplog.records) == 1


async def test_a_turn_whose_process_has_died_is_told_of_where_it_is_ended() -> None:
    store, model = MemoryStore(), HeldModel()
    dead = Hub(store, services_over(store, model), ServiceLimits())
    watching, noting = Watching(), Noting()
    watching.add(noting)
    services = replace(services_over(store, model), telemetry=watching)
    hub = Hub(store, services, ServiceLimits())
    await dead.start()
    try:
        async with patience():
            accepted = await dead.send(ANNA, SendBody(content="Hi"))
            await accepted.durable
            await model.asked.wait()
            await hub.start()
            # It is ended as soon as somebody wants to append.
            await hub.send(ANNA, SendBody(content="And?", conversation=accepted.ack.conversation))
            assert noting.told[:2] == [f"turn of {ANNA}", "interrupted None"]
    finally:
        await hub.close()
        await dead.close()


def test_without_an_observer_nobody_watches() -> None:
    assert Watching().turn(NAMES) is NO_TELEMETRY.turn(NAMES)


def test_where_nobody_takes_spans_turns_are_not_watched_for_them() -> None:
    watching = Watching()
    watching.add(Spans(Upstream(provider="anthropic", host="localhost", port=443)))
    assert watching.turn(NAMES) is NO_TELEMETRY.turn(NAMES)
