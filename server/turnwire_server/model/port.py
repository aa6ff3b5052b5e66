"""What the core wants of a model: a request in, parts of an answer out. Knows no provider."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict, cast

from turnwire_protocol import Citation, Effort, Iteration, Refusal, ToolChoice

__all__ = [
    "ApiBlock",
    "ApiMessage",
    "BlockEnd",
    "CompactionPart",
    "Context",
    "FallbackPart",
    "Model",
    "ModelRequest",
    "Part",
    "ProviderFile",
    "ResponseNames",
    "RunsOn",
    "Stop",
    "TextPart",
    "ThinkingPart",
    "ToolForm",
    "ToolInputPart",
    "ToolPart",
    "ToolResultPart",
    "ToolSpecification",
    "UsagePart",
    "encoded_message",
    "json_of",
    "may_refer",
]


RunsOn = Literal["server", "provider"]

ApiBlock = dict[str, Any]
"""A content block of the Messages API. What is in it is the provider's: it goes back as it came."""


class ApiMessage(TypedDict):
    """A message in the form of the Messages API."""

    role: Literal["user", "assistant"]
    content: str | list[ApiBlock]


class _EncodedMessage(dict[str, Any]):
    __slots__ = ("json", "may_refer")

    json: bytes
    may_refer: bool


_REFERENCE = b'"type":"blob"'
"""What the JSON of every reference says, and no text: the quotation marks in one are escaped."""


def encoded_message(message: ApiMessage, json: bytes) -> ApiMessage:
    """The message, which knows its JSON from now on, for `json_of`; it must not be changed."""
    encoded = _EncodedMessage(message)
    encoded.json = json
    encoded.may_refer = _REFERENCE in json
    return cast("ApiMessage", encoded)


def may_refer(message: ApiMessage) -> bool:
    """Whether there may be references to attachments in it, of type `blob`."""
    return getattr(message, "may_refer", True)


def json_of(message: ApiMessage) -> bytes | None:
    """Its JSON; None: nobody has encoded it yet."""
    return getattr(message, "json", None)


class ToolSpecification(TypedDict):
    """A tool in the form of the Messages API."""

    name: str
    description: str
    input_schema: dict[str, Any]


ToolForm = ToolSpecification | dict[str, Any]
"""A tool as it is offered: a specification, or a definition of the API's own, with its `type`."""


@dataclass(slots=True, frozen=True)
class ModelRequest:
    """One call: what was resolved for the turn, and the messages so far (Messages API form).

    `max_tokens`, `thinking` and `effort` are wishes: the model gets them in the form it knows. The
    sampling, a tool choice that forces a call and `output_schema` are left out where it takes none.
    """

    model: str
    messages: list[ApiMessage]
    max_tokens: int
    system: str | None = None
    thinking: dict[str, Any] | None = None
    effort: Effort | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] = field(default_factory=list)
    output_schema: dict[str, Any] | None = None
    """What the answer is to be: JSON that fits it, in the subset of JSON Schema the API takes."""
    user: str | None = None
    """Stands for who asks; tells nothing of them."""
    tool_choice: ToolChoice | None = None
    tools: list[ToolForm] = field(default_factory=list)
    may_call_tools: bool = True
    """False: the tools are there because the messages name them, and none may be called."""
    container: str | None = None
    compacts: bool = False
    """Summarise the messages, and answer nothing: the one part of the answer is the summary."""
    fallbacks: Literal["default"] | tuple[str, ...] = ()
    """The models that may answer, in this order, what this one refuses; `default`: its own."""


@dataclass(slots=True, frozen=True)
class Context:
    """How much a model can take in, in tokens."""

    window: int | None = None
    """None: it is not known."""
    compacts_from: int | None = None
    """The least that it can summarise; None: it cannot."""


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
    files: tuple[str, ...] = ()
    """Ids of the files that it made, at the provider."""


@dataclass(slots=True, frozen=True)
class BlockEnd:
    """The block is complete.

    `raw`: the provider's fields to send back verbatim with it (signature, citations …); None: there
    are none.
    """

    index: int
    raw: dict[str, Any] | None
    citations: list[Citation] | None = None
    """What readers are told of where a text was read."""


@dataclass(slots=True, frozen=True)
class CompactionPart:
    """The provider summarised what is older; a block of its own, and complete.

    From now on messages begin with `raw`, in place of what it summarises.
    """

    index: int
    summary: str
    raw: ApiBlock


@dataclass(slots=True, frozen=True)
class FallbackPart:
    """The model that answered has declined, and another goes on: of what was called nothing runs.

    What was said stays. Counts that name the model follow.
    """

    index: int


@dataclass(slots=True, frozen=True, kw_only=True)
class ResponseNames:
    """How the provider names an answer, as far as it does: by `id`, as of `model`, to `request_id`.
    For those who watch; a turn lives by none of them."""

    id: str | None = None
    model: str | None = None
    request_id: str | None = None


@dataclass(slots=True, frozen=True)
class UsagePart:
    """Token counts of this call so far; `final` ones came with the end of the answer.

    What was used to summarise is in the counts, but not in `context_tokens`: these tell how long
    the conversation is now, with the answer; None where that was not told.
    `model` is the one that answers, where it is not the one that was asked. `iterations` are calls
    within this one, which the counts include.
    """

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    final: bool
    container: str | None = None
    cache_creation_1h_input_tokens: int = 0
    thinking_tokens: int = 0
    web_fetch_requests: int = 0
    web_search_requests: int = 0
    service_tier: str | None = None
    model: str | None = None
    iterations: tuple[Iteration, ...] = ()
    context_tokens: int | None = None
    response: ResponseNames | None = field(default=None, compare=False)
    """With the first counts of an answer."""


@dataclass(slots=True, frozen=True)
class Stop:
    """The answer is complete. `reason` is the Messages API's `stop_reason`."""

    reason: str
    refusal: Refusal | None = None
    """Why the model refused, if it did and that is known."""
    sequence: str | None = None
    """The one of the request's stop sequences that ended it."""


Part = (
    TextPart
    | ThinkingPart
    | ToolPart
    | ToolInputPart
    | ToolResultPart
    | BlockEnd
    | CompactionPart
    | FallbackPart
    | UsagePart
    | Stop
)


@dataclass(slots=True, frozen=True)
class ProviderFile:
    """A file that a tool of the provider made, open to be read."""

    name: str
    media_type: str
    parts: AsyncIterator[bytes]
    """Read to the end, or let go of."""


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

    def context(self, model: str) -> Context:
        """How much the model can take in."""

    async def open_file(self, id: str, *, max_bytes: int) -> ProviderFile:
        """The file of this id; one that is larger is not given.

        Raises:
            ModelError: it cannot be had. Reading its parts may fail in any way; then what came is
                not the file.
        """

    async def close(self) -> None:
        """Let go of connections."""
