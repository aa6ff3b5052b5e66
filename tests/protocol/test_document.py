"""The examples of PROTOCOL.md are messages of the protocol."""

import json
import re
from itertools import pairwise

import pytest

from tests.protocol.transcripts import DOCUMENT, TRANSCRIPTS, Transcript
from turnwire_protocol import UnknownEvent, parse_command, parse_event, parse_reply, span_of
from turnwire_protocol.commands import COMMAND_TYPES
from turnwire_protocol.replies import REPLY_TYPES

EXAMPLES = re.findall(r"^```json\n(.*?)\n```$", DOCUMENT, flags=re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)
def test_a_transcript_is_numbered_and_each_line_a_message(transcript: Transcript) -> None:
    for number, line in enumerate(transcript.lines, start=1):
        assert line.number == number
        check(json.dumps(line.message))
        assert line.is_from_client == (line.type in COMMAND_TYPES)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)
def test_the_events_of_a_transcript_follow_one_another(transcript: Transcript) -> None:
    for before, after in pairwise(transcript.events):
        assert after.seq - span_of(after) == before.seq


def test_the_transcripts_are_found() -> None:
    assert len(TRANSCRIPTS) == 7
