"""The transcripts of PROTOCOL.md, read; it knows nothing of clients."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwire_protocol import Event, parse_event
from turnwire_protocol.commands import COMMAND_TYPES
from turnwire_protocol.replies import REPLY_TYPES

__all__ = ["DOCUMENT", "TRANSCRIPTS", "Line", "Message", "Remark", "Transcript"]

DOCUMENT = (Path(__file__).parents[2] / "protocol" / "PROTOCOL.md").read_text(encoding="utf-8")

Message = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A message, and who sends it; `number` as it is written."""

    number: int
    is_from_client: bool
    message: Message

    @property
    def type(self) -> str:
        return str(self.message["type"])

    @property
    def event(self) -> Event | None:
        is_event = self.type not in COMMAND_TYPES | REPLY_TYPES
        return parse_event(self.message) if is_event else None


@dataclass(frozen=True)
class Remark:
    """What happens besides."""

    text: str

    @property
    def loses_the_connection(self) -> bool:
        return "the connection is lost" in self.text

    @property
    def is_in_another_tab(self) -> bool:
        return "another tab," in self.text


@dataclass(frozen=True)
class Transcript:
    """A section of PROTOCOL.md."""

    name: str
    steps: tuple[Line | Remark, ...]

    @property
    def lines(self) -> list[Line]:
        return [step for step in self.steps if isinstance(step, Line)]

    @property
    def events(self) -> list[Event]:
        return [event for line in self.lines if (event := line.event)]


def _step(text: str) -> Line | Remark:
    if text.startswith("# "):
        return Remark(text[2:])
    match = re.fullmatch(r"(\d+) ([→←]) (\{.*\})", text)
    if match is None:
        raise ValueError(f"neither a message nor a remark: {text}")
    return Line(int(match[1]), match[2] == "→", json.loads(match[3]))


TRANSCRIPTS = [
    Transcript(name, tuple(map(_step, text.splitlines())))
    for name, text in re.findall(
        r"^### ([^\n]+)\n\n```transcript\n(.*?)\n```$", DOCUMENT, flags=re.MULTILINE | re.DOTALL
    )
]
