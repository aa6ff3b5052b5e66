"""The examples of PROTOCOL.md are messages of the protocol."""

import json
import re
from pathlib import Path

import pytest

from turnwire_protocol import UnknownEvent, parse_command, parse_event, parse_reply, span_of
from turnwire_protocol.commands import COMMAND_TYPES
from turnwire_protocol.replies import REPLY_TYPES

DOCUMENT = (Path(__file__).parents[2] / "protocol" / "PROTOCOL.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```json\n(.*?)\n```$", DOCUMENT, flags=re.MULTILINE | re.DOTALL)
TRANSCRIPTS = re.findall(
    r"^### ([^\n]+)\n\n```transcript\n(.*?)\n```$", DOCUMENT, flags=re.MULTILINE | re.DOTALL
)


def check(text: str) -> str:
    """The type of a message in the document, which must be one."""
    data = json.loads(text)
    kind = str(data["type"])
    if kind in COMMAND_TYPES:
        parse_command(text)
    elif kind in REPLY_TYPES:
        parse_reply(data)
    else:
        assert not isinstance(parse_event(data), UnknownEvent)
    return kind


@pytest.mark.parametrize("text", EXAMPLES, ids=[json.loads(text)["type"] for text in EXAMPLES])
def test_an_example_is_the_message_of_its_heading(text: str) -> None:
    kind = check(text)
    above = DOCUMENT.split(f"```json\n{text}", 1)[0]
    assert re.findall(r"^### (\w+)$", above, flags=re.MULTILINE)[-1] == kind


@pytest.mark.parametrize("lines", [pytest.param(text, id=name) for name, text in TRANSCRIPTS])
def test_a_transcript_is_numbered_and_each_line_a_message(lines: str) -> None:
    seq = 0
    said = [line for line in lines.splitlines() if not line.startswith("# ")]
    for number, line in enumerate(said, start=1):
        match = re.fullmatch(rf"{number} ([→←]) (\{{.*\}})", line)
        assert match, line
        kind = check(match[2])
        assert (match[1] == "→") == (kind in COMMAND_TYPES)
        if kind not in COMMAND_TYPES | REPLY_TYPES:
            event = parse_event(json.loads(match[2]))
            assert event.seq - span_of(event) >= seq, line
            seq = event.seq


def test_the_transcripts_are_found() -> None:
    assert len(TRANSCRIPTS) == 7
