"""What is stored with events and never sent (PROTOCOL.md "Private fields")."""

import re
from pathlib import Path

from tests.kit.chat import MODEL, ended, talking
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import listening
from turnwire_protocol import parse_event
from turnwire_server.core.log.codec import load
from turnwire_server.core.log.items import Entry
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, Simulator, Text, Thinking

DOCUMENT = (Path(__file__).parents[2] / "protocol" / "PROTOCOL.md").read_text("utf-8")


def documented() -> dict[str, set[str]]:
    """The private fields of each event that has some."""
    chapter = DOCUMENT.split("\n## Private fields\n", 1)[1].split("\n## ", 1)[0]
    fields: dict[str, set[str]] = {}
    event = ""
    for named, field in re.findall(r"^\| (?:`(\w+)`)? ?\| `(\w+)` \|", chapter, re.MULTILINE):
        event = named or event
        fields.setdefault(event, set()).add(field)
    return fields


async def test_what_is_stored_and_not_sent_is_what_the_protocol_says(simulator: Simulator) -> None:
    store = MemoryStore()
    answer = Answer(Thinking("Hm."), Text("Yes."))
    async with talking(simulator, answer, store=store) as wire:
        done = await ended(wire, key="k", max_tokens=100)
    conversation = done["conversation"]
    bodies = await store.read(conversation, 0, max_bytes=2**20)
    stored: dict[str, list[dict[str, object]]] = {}
    for item in (item for body in bodies for item in load(body)):
        if isinstance(item, Entry) and item.private is not None:
            stored.setdefault(item.event.type, []).append(item.private)
    fields = documented()
    assert fields == {
        "message": {"options", "fingerprint", "is_past"},
        "start": {"options", "added"},
        "block_stop": {"raw"},
        "compaction": {"raw", "head", "prefix", "turn", "step"},
        "step": {"prefix", "drops_thinking"},
        "error": {"cause", "provider"},
        "retry": {"cause", "provider"},
        "usage": {"container"},
    }
    # `raw` is stored as it is; a container is something that this answer does not use, nothing of
    # it was refused, it has no past elsewhere, and no hook added anything.
    assert {name: set(private) for name, (private, *_) in stored.items()} == {
        "message": {"options", "fingerprint"},
        "start": {"options"},
        "block_stop": {"type", "signature"},
        "step": {"prefix"},
    }
    async with (
        serving(turnwire_over(simulator, store=store, model=MODEL)) as address,
        listening(address, f"/v1/conversations/{conversation}/events") as sse,
    ):
        await sse.until("done")
    for sent in sse.sent:
        assert set(sent.data) <= set(type(parse_event(sent.data)).model_fields), sent.type
