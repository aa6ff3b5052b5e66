"""What becomes of a provider's error: for clients, in the log of the service, and in the store."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type, talking
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.wire import wired
from tests.server.test_reasons import HELLO, goes_on, text_of
from turnwire_protocol import Error, Retry, ToolResult
from turnwire_server.core.log.codec import load
from turnwire_server.core.log.items import Entry
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, ErrorEvent, Fault, Raw, Simulator, Text

STREAMS = Path(__file__).parent / "model" / "streams"
SECRET = "sk-ant-api03-verysecret"
EXPIRED = Fault(401, message=f"the key {SECRET} has expired")


async def test_clients_get_the_code_the_request_id_and_a_text_of_our_own(
    simulator: Simulator,
) -> None:
    program = (Fault(529, message="busy busy"), EXPIRED)
    async with talking(simulator, *program, expose_provider_errors=False) as wire:
        done = await ended(wire)
        [retry], [error] = of_type(wire, Retry), of_type(wire, Error)
        assert (retry.code, retry.message) == ("overloaded", "the model is overloaded")
        assert (error.code, error.retryable) == ("auth_error", False)
        assert error.message == "the model's provider does not accept this server's credentials"
        for event in (retry, error):
            assert event.request_id is not None
            assert event.request_id.startswith("req_")
        folded = wire.fold(done["conversation"]).turns[done["turn"]].to_dict()
        assert folded["error"]["request_id"] == error.request_id
        await goes_on(wire, simulator, done)


async def test_who_runs_it_for_himself_is_told_in_the_providers_words(
    simulator: Simulator,
) -> None:
    async with talking(simulator, EXPIRED) as wire:
        await ended(wire)
        [error] = of_type(wire, Error)
    assert error.message == "the key [redacted] has expired"


@pytest.mark.parametrize(
    "settings", [{"token": "correct horse"}, {"authenticate": by_name}], ids=["token", "library"]
)
async def test_a_service_for_others_does_not_tell_them(
    simulator: Simulator, settings: dict[str, Any]
) -> None:
    simulator.program(EXPIRED)
    turnwire = turnwire_over(simulator, model=MODEL, **settings)
    async with serving(turnwire) as address:
        hello = {"Authorization": f"Bearer {settings.get('token', 'anna')}"}
        async with wired(address, additional_headers=hello) as wire:
            await ended(wire)
            [error] = of_type(wire, Error)
    assert "expired" not in error.message


async def test_every_failed_attempt_has_a_line_in_the_log(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    program = (Fault(529, message="busy\nbusy"), HELLO.at(4, ErrorEvent("api_error", "oops")))
    with caplog.at_level(logging.WARNING, "turnwire.turn"):
        async with talking(simulator, *program, EXPIRED, expose_provider_errors=False) as wire:
            done = await ended(wire)
            told: list[Retry | Error] = [*of_type(wire, Retry), *of_type(wire, Error)]
    lines = [record.getMessage() for record in caplog.records if "attempt=" in record.getMessage()]
    assert len(lines) == 3
    words = ["said=busy busy", "said=oops", "said=the key [redacted] has expired"]
    for number, (line, event, said) in enumerate(zip(lines, told, words, strict=True), 1):
        assert line.endswith(said)
        for part in (
            f"conversation={done['conversation']}",
            f"turn={done['turn']}",
            f"attempt={number}",
            f"code={event.code}",
            f"request_id={event.request_id}",
        ):
            assert f" {part} " in line
    assert "type=overloaded_error" in lines[0]
    assert SECRET not in caplog.text


async def test_what_the_provider_said_is_stored_and_not_sent(simulator: Simulator) -> None:
    store = MemoryStore()
    said = "messages.0.content.0.image: exceeds the maximum"
    async with talking(
        simulator, Fault(500, message="oops"), Fault(400, message=said), store=store
    ) as wire:
        done = await ended(wire)
        [error] = of_type(wire, Error)
        bodies = await store.read(done["conversation"], 0, max_bytes=2**20)
    entries = [item for body in bodies for item in load(body)]
    private = {item.event.type: item.private or {} for item in entries if isinstance(item, Entry)}
    assert private["retry"]["provider"]["message"] == "oops"
    assert private["error"] == {
        "cause": "attachments",
        "provider": {
            "status": 400,
            "type": "invalid_request_error",
            "message": said,
            "request_id": error.request_id,
        },
    }
    assert "cause" not in json.dumps([event.model_dump() for event in wire.events])


@pytest.mark.parametrize(("status", "attempts"), [(409, 2), (424, 2), (500, 4), (400, 1)])
async def test_a_failure_is_tried_again_as_often_as_it_is_worth(
    simulator: Simulator, status: int, attempts: int
) -> None:
    async with talking(simulator, *[Fault(status)] * 4, retries=3) as wire:
        await ended(wire)
    assert len(simulator.requests) == attempts


async def test_a_limit_of_spending_is_not_run_into_again(simulator: Simulator) -> None:
    spent = Fault(429, message="This organization has reached its monthly spend limit")
    async with talking(simulator, spent) as wire:
        done = await ended(wire)
        [error] = of_type(wire, Error)
        assert (error.code, error.retryable) == ("permission_denied", False)
        await goes_on(wire, simulator, done)
    assert len(simulator.requests) == 2


# Streams from outside, as a turn of a conversation whose only tool is `echo`

EXPECTED = json.loads((STREAMS / "expected.json").read_text("utf-8"))


async def echo(city: str) -> str:
    """Echo a city."""
    return f"echo:{city}"


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_a_stream_from_outside_is_an_answer_like_any_other(
    simulator: Simulator, name: str
) -> None:
    first = Answer.of([Raw((STREAMS / f"{name}.sse").read_bytes())])
    expected = EXPECTED[name]
    async with talking(simulator, first, tools=[echo]) as wire:
        simulator.answer_with(lambda body: Answer(Text("after")))
        done = await ended(wire)
        calls = len(simulator.requests)
        if "error_message_contains" in expected:
            [error] = of_type(wire, Error)
            assert expected["error_message_contains"] in error.message
            assert calls == 1
        if "text" in expected:
            assert text_of(wire, done) == expected["text"]
        if "results" in expected:
            results = [result.content for result in of_type(wire, ToolResult)]
            assert results == expected["results"]
        if "stop_reason" in expected:
            assert done["stop_reason"] == expected["stop_reason"]
        least, most = expected.get("model_calls", 1), expected.get("model_calls", 2)
        assert least <= calls <= expected.get("model_calls_at_most", most)
        await goes_on(wire, simulator, done)
