"""Content blocks as an author writes them, turned into a start and its deltas; knows no answer."""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from turnwire_simulator.controls import Control
from turnwire_simulator.signature import seal, sign

__all__ = [
    "ApiObject",
    "Block",
    "BlockBuilder",
    "Fallback",
    "ProviderTool",
    "RedactedThinking",
    "Text",
    "Thinking",
    "ToolUse",
    "Unknown",
    "Whole",
    "words",
]

ApiObject = dict[str, Any]
Deltas = str | Sequence[str | Control]


@dataclass(frozen=True)
class Block:
    """One content block: its `content_block`, then its deltas, with controls between them."""

    start: ApiObject
    deltas: tuple[ApiObject | Control, ...] = ()


class BlockBuilder(Protocol):
    """Anything an answer can be made of that becomes content blocks."""

    def blocks(self) -> list[Block]:
        """The content blocks, in order."""
        ...


def words(text: str) -> list[str]:
    """Cuts text as a model would send it, before each word; joined again it is unchanged."""
    return re.findall(r"\s*\S+|\s+", text)


def _deltas(parts: Deltas, kind: str, field: str) -> tuple[ApiObject | Control, ...]:
    pieces = words(parts) if isinstance(parts, str) else parts
    return tuple(
        {"type": kind, field: piece} if isinstance(piece, str) else piece for piece in pieces
    )


def _input_deltas(parts: Sequence[str | Control]) -> tuple[ApiObject | Control, ...]:
    return _deltas(parts, "input_json_delta", "partial_json")


def _input_parts(value: ApiObject) -> list[str]:
    # The API's first part is always empty, and for an empty input it is the only one.
    text = json.dumps(value, ensure_ascii=False) if value else ""
    return ["", *(text[start : start + 12] for start in range(0, len(text), 12))]


@dataclass(frozen=True)
class Text:
    """A text block. A string is cut into words; a list gives the deltas, with controls between."""

    text: Deltas
    citations: Sequence[ApiObject] = ()

    def blocks(self) -> list[Block]:
        """One `text` block; its citations follow the text."""
        start: ApiObject = {"type": "text", "text": ""}
        if self.citations:
            start["citations"] = []
        citations = tuple({"type": "citations_delta", "citation": each} for each in self.citations)
        return [Block(start, (*_deltas(self.text, "text_delta", "text"), *citations))]


@dataclass(frozen=True)
class Thinking:
    """A thinking block, signed validly unless a signature is given; "" is omitted thinking."""

    text: Deltas
    signature: str | None = None

    def blocks(self) -> list[Block]:
        """One `thinking` block that ends with its signature."""
        whole = "".join(part for part in self.text if isinstance(part, str))
        signature = sign(whole) if self.signature is None else self.signature
        deltas = _deltas(self.text, "thinking_delta", "thinking")
        return [
            Block(
                {"type": "thinking", "thinking": "", "signature": ""},
                (*deltas, {"type": "signature_delta", "signature": signature}),
            )
        ]


@dataclass(frozen=True)
class RedactedThinking:
    """A thinking block nobody can read; it has no deltas."""

    def blocks(self) -> list[Block]:
        """One `redacted_thinking` block."""
        return [Block({"type": "redacted_thinking", "data": seal()})]


@dataclass(frozen=True)
class ToolUse:
    """A call of a client's tool; `deltas` replaces the JSON of `input`, to send it broken."""

    name: str
    input: ApiObject
    id: str | None = None
    deltas: Sequence[str | Control] | None = None

    def blocks(self) -> list[Block]:
        """One `tool_use` block; without `id` every call makes a new one."""
        tool_id = self.id or f"toolu_{secrets.token_hex(12)}"
        parts = _input_parts(self.input) if self.deltas is None else self.deltas
        start = {"type": "tool_use", "id": tool_id, "name": self.name, "input": {}}
        return [Block(start, _input_deltas(parts))]


@dataclass(frozen=True)
class ProviderTool:
    """A tool the API runs itself, with its result in the same answer; None: the result is missing.

    `result_content` is the `content` of the result block, such as a list of `web_search_result`.
    """

    name: str
    input: ApiObject
    result_content: object | None

    def blocks(self) -> list[Block]:
        """A `server_tool_use` block and its `<name>_tool_result`."""
        tool_id = f"srvtoolu_{secrets.token_hex(12)}"
        start = {"type": "server_tool_use", "id": tool_id, "name": self.name, "input": {}}
        made = [Block(start, _input_deltas(_input_parts(self.input)))]
        if self.result_content is not None:
            # Both searches for tools have results of one kind.
            name = "tool_search" if self.name.startswith("tool_search_tool") else self.name
            result = {"tool_use_id": tool_id, "content": self.result_content}
            made.append(Block({"type": f"{name}_tool_result", **result}))
        return made


@dataclass(frozen=True)
class Fallback:
    """Where one model has declined and another goes on."""

    from_model: str
    to_model: str
    category: str | None = None

    def blocks(self) -> list[Block]:
        """One `fallback` block."""
        trigger = {"type": "refusal", "category": self.category}
        sides = {"from": {"model": self.from_model}, "to": {"model": self.to_model}}
        return [Block({"type": "fallback", **sides, "trigger": trigger})]


@dataclass(frozen=True)
class Whole:
    """A block whose start is all there is of it, and the deltas that are given."""

    start: ApiObject
    deltas: tuple[ApiObject, ...] = ()

    def blocks(self) -> list[Block]:
        """The one block."""
        return [Block(self.start, self.deltas)]


@dataclass(frozen=True)
class Unknown:
    """A block of a type that no client knows yet, with a delta of an unknown type."""

    def blocks(self) -> list[Block]:
        """One `hologram` block."""
        return [
            Block(
                {"type": "hologram", "depth": 3},
                ({"type": "hologram_delta", "voxels": "0110"},),
            )
        ]
