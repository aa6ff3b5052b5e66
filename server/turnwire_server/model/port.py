"""What the core wants of a model: a request in, parts of an answer out. Knows no provider."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

__all__ = [
    "BlockEnd",
    "Counts",
    "Model",
    "ModelRequest",
    "Part",
    "RunsOn",
    "Stop",
    "TextPart",
    "ThinkingPart",
    "ToolInputPart",
    "ToolPart",
    "ToolResultPart",
]


RunsOn = Literal["server", "provider"]


@dataclass(slots=True, frozen=True)
class ModelRequest:
    """One call: what was resolved for the turn, and the messages so far (Messages API form)."""

    model: str
    messages: list[dict[str, Any]]
    max_tokens: int
    system: str | None = None
    thinking: dict[str, Any] | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    container: str | None = None


@dataclass(slots=True, frozen=True)
class TextPart:
    """A delta of a text block. `index` counts the blocks of this call from 0."""

    index: int
    text: str


@dataclass(slots=True, frozen=True)
class ThinkingPart:
    """A delta of a thinking block."""

    index: int
    text: str


@dataclass(slots=True, frozen=True)
class ToolPart:
    """The model named a tool."""

    index: int
    tool_id: str
    name: str
    runs_on: RunsOn


@dataclass(slots=True, frozen=True)
class ToolInputPart:
    """A delta of a tool call's input."""

    index: int
    tool_id: str
    partial_json: str


@dataclass(slots=True, frozen=True)
class ToolResultPart:
    """The provider ran its tool; `text` is what readers are shown of the result."""

    index: int
    tool_id: str
    text: str
    is_error: bool


@dataclass(slots=True, frozen=True)
class BlockEnd:
    """The block is complete. `raw`: what its deltas do not tell and the model wants back."""

    index: int
    raw: dict[str, Any] | None


@dataclass(slots=True, frozen=True)
class Counts:
    """Token counts of this call so far; `final` ones came with the end of the answer."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    final: bool
    container: str | None = None


@dataclass(slots=True, frozen=True)
class Stop:
    """The answer is complete. `reason` is the Messages API's `stop_reason`."""

    reason: str


Part = (
    TextPart | ThinkingPart | ToolPart | ToolInputPart | ToolResultPart | BlockEnd | Counts | Stop
)


class Model(Protocol):
    """A provider of answers."""

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Part]]]:
        """Call the model; leaving the context closes the response at once, read or not.

        The iterator gives the parts in order, those of one read together, and ends after `Stop`.

        Raises:
            ModelError: the attempt failed, at any point.
        """

    async def close(self) -> None:
        """Let go of connections."""
