"""What the HTTP endpoints answer, as types: the forms in the OpenAPI document, made by nobody here.

TypedDicts, because a field that has nothing to say is absent, never null.
"""

import json
from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from turnwire_protocol import Citation, Content, Refusal, RunsOn, TotalUsage
from turnwire_protocol.fold import BlockType, ToolState, TurnState
from turnwire_protocol.schema import inlined, on_the_wire, schemas
from turnwire_server.transports.http import Problem

__all__ = [
    "Answer",
    "ConversationHead",
    "Conversations",
    "Exported",
    "FoldedForm",
    "Health",
    "Ready",
    "Unready",
    "event_stream",
    "json_answer",
]


class ConversationHead(TypedDict):
    """A conversation in the list; times are RFC 3339, UTC."""

    conversation: str
    title: str
    seq: int
    created_at: str
    updated_at: str


class Conversations(TypedDict):
    """A page of the list, newest first; `next` is the `before` of the next one."""

    conversations: list[ConversationHead]
    next: NotRequired[str]


class FoldedProgress(TypedDict):
    """What the running tool has reported last."""

    message: str
    fraction: NotRequired[float]


class FoldedResult(TypedDict):
    """What a tool gave, as the model was shown it."""

    content: Content
    is_error: bool
    duration_ms: int
    files: NotRequired[list[str]]


class FoldedBlock(TypedDict):
    """A block of an answer. A `tool` has `partial_json` and what is known of the call."""

    block: int
    type: BlockType
    complete: bool
    text: NotRequired[str]
    citations: NotRequired[list[Citation]]
    partial_json: NotRequired[str]
    tool_id: NotRequired[str]
    tool_name: NotRequired[str]
    runs_on: NotRequired[RunsOn]
    state: NotRequired[ToolState]
    input: NotRequired[dict[str, Any]]
    runner: NotRequired[str]
    expires_at: NotRequired[str]
    decision: NotRequired[Literal["allow", "deny"]]
    reason: NotRequired[str]
    progress: NotRequired[FoldedProgress]
    result: NotRequired[FoldedResult]


class FoldedContext(TypedDict):
    """How full the model's window is, by the last counts."""

    tokens: int
    window: NotRequired[int]


class FoldedRetry(TypedDict):
    """The attempt that failed last, while the next one is waited for."""

    attempt: int
    delay_seconds: float
    code: str
    message: str
    request_id: NotRequired[str]


class FoldedDone(TypedDict):
    """How the turn ended."""

    stop_reason: str
    steps: int
    duration_ms: int
    cost_usd: NotRequired[float]
    refusal: NotRequired[Refusal]
    stop_sequence: NotRequired[str]
    output: NotRequired[Any]


class FoldedTurnForm(TypedDict):
    """A message and all that was done to answer it (PROTOCOL.md "The fold")."""

    turn: str
    state: TurnState
    content: NotRequired[Content]
    key: NotRequired[str]
    at: NotRequired[str]
    model: NotRequired[str]
    step: NotRequired[int]
    attempt: NotRequired[int]
    compacting: NotRequired[Literal[True] | None]
    """Never null: a constant alone would be documented as required (`on_the_wire`)."""
    blocks: list[FoldedBlock]
    usage: NotRequired[TotalUsage]
    context: NotRequired[FoldedContext]
    retry: NotRequired[FoldedRetry]
    error: NotRequired[Problem]
    done: NotRequired[FoldedDone]


class Answer(FoldedTurnForm):
    """The finished turn, with its text in one piece; `output` is what it says as data, where the
    send had an `output_format`."""

    conversation: str
    text: str
    output: NotRequired[Any]


class Exported(TypedDict):
    """A conversation to keep."""

    conversation: str
    title: str
    seq: int
    turns: list[FoldedTurnForm]


class FoldedForm(Exported):
    """A conversation as it is now; `epoch` and `seq` are the cursor behind it.

    `next` is there where only some turns were asked for: the `before` of those before them.
    `replaced`, by a turn's id, where it was asked for: the turns in whose place it was sent.
    """

    epoch: str
    next: NotRequired[str]
    replaced: NotRequired[dict[str, list[FoldedTurnForm]]]


class Health(TypedDict):
    """The process lives."""

    status: Literal["ok"]


class Ready(TypedDict):
    """Work is taken."""

    status: Literal["ready"]


class Unready(TypedDict):
    """No work is taken: since when (RFC 3339), where that is known."""

    status: Literal["unavailable"]
    code: str
    since: NotRequired[str]


def json_answer(form: Any) -> dict[str, Any]:
    """The media type of a JSON answer of this form; complete in itself, as `described` says."""
    schema = inlined(on_the_wire(TypeAdapter(form).json_schema(mode="serialization")))
    return {"application/json": {"schema": schema}}


def event_stream() -> dict[str, Any]:
    """The media type of an event stream: its items, as OpenAPI 3.2 and FastAPI describe them.

    `data` is JSON, an event of the protocol; `reset` and `closed` are about the stream.
    """
    events, replies = (json.loads(schemas()[name]) for name in ("events.json", "replies.json"))
    about = [inlined(replies["$defs"][name]) for name in ("Reset", "Closed")]
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"oneOf": [*inlined(events)["oneOf"], *about]},
    }
    fields = {"id": {"type": "string"}, "event": {"type": "string"}, "data": data}
    item = {"type": "object", "properties": fields, "required": ["event", "data"]}
    return {"text/event-stream": {"itemSchema": item}}
