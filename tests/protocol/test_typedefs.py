"""The JavaScript types of the messages are those of the schemas."""

import json
from pathlib import Path

import pytest

from turnwire_protocol.schema import schemas
from turnwire_protocol.typedefs import typedefs

STATIC = Path(__file__).parents[2] / "client" / "turnwire_browser" / "static"
UNIONS = {"commands.json": "Command", "events.json": "Event", "replies.json": "Reply"}


def test_the_committed_module_is_current() -> None:
    # Remedy: python -m turnwire_protocol.typedefs client/…/static/turnwire/messages.js
    committed = (STATIC / "turnwire" / "messages.js").read_text(encoding="utf-8")
    assert committed == typedefs()


@pytest.mark.parametrize(("file", "union"), UNIONS.items())
def test_a_union_names_every_message_of_its_schema(file: str, union: str) -> None:
    (definition,) = (text for text in typedefs().split("\n\n") if f"}} {union}\n" in text)
    messages = json.loads(schemas()[file])["oneOf"]
    assert definition.count(" | ") == len(messages) - 1
    for message in messages:
        name = message["$ref"].rsplit("/", 1)[1]
        assert name in definition
