"""Images and documents that are elsewhere, and documents that are to be cited."""

from typing import Any

import pytest

from tests.kit.chat import ended, of_type, talking
from tests.kit.wire import Wire
from turnwire_protocol import Message, text_of
from turnwire_simulator import Answer, Fault, Simulator, Text

OK = Answer(Text("Ok."))
IMAGE = {"type": "image", "url": "https://example.com/a.png"}
FILE = {"type": "document", "file": "file_1", "name": "a.pdf", "citations": True}
FORMAT = {"type": "json_schema", "schema": {"type": "object"}}


async def refused(wire: Wire, **fields: Any) -> str:
    """How the message of the refusal begins."""
    reject = await wire.ask("send", **fields)
    assert (reject["type"], reject["code"]) == ("reject", "bad_command")
    return str(reject["message"]).partition(":")[0]


async def test_links_reach_the_model_as_they_are(simulator: Simulator) -> None:
    async with talking(simulator, OK, sources=["url", "file"]) as wire:
        await ended(wire, [{"type": "text", "text": "Look"}, IMAGE, FILE])  # type: ignore[arg-type]
        (message,) = of_type(wire, Message)
    _, image, document = simulator.requests[0]["messages"][0]["content"]
    assert image == {"type": "image", "source": {"type": "url", "url": IMAGE["url"]}}
    del document["cache_control"]
    assert document == {
        "type": "document",
        "source": {"type": "file", "file_id": "file_1"},
        "title": "a.pdf",
        "citations": {"enabled": True},
    }
    assert text_of(message.content) == "Look\n\n[https://example.com/a.png]\n\n[a.pdf]"
    assert simulator.rejections == []


@pytest.mark.parametrize(
    ("sources", "block", "path"),
    [([], IMAGE, "content.0.url"), (["url"], FILE, "content.0.file")],
)
async def test_links_are_taken_where_the_operator_says_so(
    simulator: Simulator, sources: list[str], block: dict[str, Any], path: str
) -> None:
    async with talking(simulator, sources=sources) as wire:
        assert await refused(wire, content=[block]) == path
    assert simulator.requests == []


async def test_a_link_that_leads_nowhere_is_left_out_from_then_on(simulator: Simulator) -> None:
    fault = Fault(400, "invalid_request_error", "messages.0.content.0.image.source: cannot fetch")
    async with talking(simulator, fault, OK, sources=["url"]) as wire:
        done = await ended(wire, [IMAGE])  # type: ignore[arg-type]
        assert done["stop_reason"] == "failed"
        await ended(wire, conversation=done["conversation"])
    assert "example.com" not in str(simulator.requests[1]["messages"])


async def test_nothing_is_cited_in_an_answer_that_has_a_format(simulator: Simulator) -> None:
    async with talking(simulator, OK, Answer(Text("{}")), sources=["file"]) as wire:
        assert await refused(wire, content=[FILE], output_format=FORMAT) == "content.0.citations"
        done = await ended(wire, [FILE])  # type: ignore[arg-type]
        again = await ended(wire, conversation=done["conversation"], output_format=FORMAT)
    assert again["output"] == {}
    cited = [str(body["messages"]).count("citations") for body in simulator.requests]
    assert cited == [1, 0]
    assert simulator.rejections == []
