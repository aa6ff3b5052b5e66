"""A model gives new conversations their titles: when, which, and what becomes of it otherwise."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.kit.chat import MODEL, ended
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import Wire, wired
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text

TITLER = "claude-simulated-haiku"
OK = Answer(Text("Yes."))
FIRST = "What is the tallest mountain of Wales, please?"


class Service:
    """A service that has titles made, and its list of conversations."""

    def __init__(self, wire: Wire, http: httpx2.AsyncClient) -> None:
        self.wire = wire
        self.http = http

    async def titles(self) -> list[str]:
        """Of all conversations, the newest first."""
        listed = (await self.http.get("/v1/conversations")).json()
        return [head["title"] for head in listed["conversations"]]

    async def titled(self, *titles: str) -> None:
        """Once these are the titles."""
        async with patience():
            while True:
                if await self.titles() == list(titles):
                    return


@asynccontextmanager
async def service(simulator: Simulator, **settings: Any) -> AsyncIterator[Service]:
    usual = {"title_model": TITLER, "model": MODEL}
    async with (
        serving(turnwire_over(simulator, **{**usual, **settings})) as address,
        wired(address) as wire,
        asking(address) as http,
    ):
        yield Service(wire, http)


async def until(is_so: Callable[[], object]) -> None:
    async with patience():
        while True:
            if is_so():
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def program_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the service says of titles, each once there is nothing more to do for it."""
    caplog.set_level(logging.INFO, "turnwire.title")
    return caplog


def asked_for_titles(simulator: Simulator) -> list[dict[str, Any]]:
    return [body for body in simulator.requests if body["model"] == TITLER]


def answering(title: Answer | Fault) -> Callable[[dict[str, Any]], Answer | Fault]:
    """The title's call and the turn's may come in either order."""
    return lambda body: title if body["model"] == TITLER else OK


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Tallest mountain of Wales", "Tallest mountain of Wales"),
        ('\n"Yr Wyddfa"\nA mountain.', "Yr Wyddfa"),
        ("**ウェールズの山**", "ウェールズの山"),
        ("x" * 200, "x" * 80),
    ],
)
async def test_a_new_conversation_gets_the_title_that_the_model_gives(
    simulator: Simulator, said: str, title: str
) -> None:
    simulator.answer_with(answering(Answer(Text(said))))
    async with service(simulator) as place:
        done = await ended(place.wire, FIRST)
        await place.titled(title)
        await ended(place.wire, "And of England?", conversation=done["conversation"])
    [body] = asked_for_titles(simulator)
    [message] = body["messages"]
    assert [block["text"] for block in message["content"]] == [FIRST]
    assert body["thinking"] == {"type": "disabled"}
    assert "tools" not in body


@pytest.mark.parametrize(
    "title",
    [
        Fault(529, "overloaded_error", "Overloaded"),
        Answer(Text("Half a"), stop_reason="max_tokens"),
        Answer(Text("I would rather not"), stop_reason="refusal"),
        Answer(Text('""')),
    ],
    ids=["overloaded", "cut off", "refused", "nothing"],
)
async def test_where_there_is_none_it_keeps_its_first_words_and_the_turn_is_as_ever(
    simulator: Simulator, title: Answer | Fault, program_log: pytest.LogCaptureFixture
) -> None:
    simulator.answer_with(answering(title))
    async with service(simulator) as place:
        done = await ended(place.wire, FIRST)
        assert done["stop_reason"] == "end_turn"
        await until(lambda: program_log.messages)
        assert await place.titles() == [FIRST]
    assert len(asked_for_titles(simulator)) == 1


async def test_a_title_that_somebody_gave_meanwhile_stays(
    simulator: Simulator, program_log: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    simulator.answer_with(answering(Answer(Text(["Mountains", gate, " of Wales"]))))
    async with service(simulator) as place:
        done = await ended(place.wire, FIRST)
        path = f"/v1/conversations/{done['conversation']}"
        assert (await place.http.patch(path, json={"title": "My own"})).status_code < 300
        gate.open()
        await until(lambda: program_log.messages)
        [line] = program_log.messages
        assert "code=-" in line
        assert FIRST not in line
        assert await place.titles() == ["My own"]


async def test_nothing_is_asked_for_a_message_that_was_refused(simulator: Simulator) -> None:
    async with service(simulator) as place:
        rejected = await place.wire.ask("send", content=FIRST, model="claude-other")
        assert rejected["type"] == "reject"
        assert await place.titles() == []
    assert simulator.requests == []


@pytest.mark.parametrize("settings", [{"title_model": None}, {"is_demo": True}])
async def test_without_the_setting_and_for_the_demo_none_is_asked_for(
    simulator: Simulator, settings: dict[str, Any]
) -> None:
    async with service(simulator, **settings) as place:
        await ended(place.wire, FIRST)
        assert await place.titles() == [FIRST]
    assert asked_for_titles(simulator) == []


async def test_a_service_that_closes_waits_for_no_title(simulator: Simulator) -> None:
    simulator.answer_with(answering(Answer(Text(["Mountains", Gate(), " of Wales"]))))
    async with service(simulator) as place:
        await ended(place.wire, FIRST)
        await until(lambda: asked_for_titles(simulator))
    await until(lambda: not simulator.open_streams)
