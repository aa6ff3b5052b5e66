"""Hooks: what an app of its own has to say about messages, turns and tool calls. Shapes and rules.

How they are run stands in `hook_runner.py`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnwire_protocol import Content, RunsOn, TotalUsage

__all__ = [
    "CallContext",
    "Document",
    "Hooks",
    "MessageContext",
    "TurnContext",
    "TurnEnd",
    "TurnSetup",
]


@dataclass(slots=True, frozen=True, kw_only=True)
class MessageContext:
    """A message that is about to be accepted. `state` is the app's, as in all contexts."""

    principal: str
    conversation: str
    """Its id, also where the message begins it."""
    message: Content
    key: str | None
    state: Any


@dataclass(slots=True, frozen=True, kw_only=True)
class TurnContext:
    """A turn that is about to begin: its message is stored, the model was asked nothing."""

    principal: str
    conversation: str
    turn: str
    message: Content
    model: str
    """The one it has without the hook."""
    system: str | None
    """Likewise."""
    state: Any


@dataclass(slots=True, frozen=True, kw_only=True)
class Document:
    """A text that the model may cite, as a document block of the Messages API."""

    title: str
    text: str
    context: str | None = None
    """What the model is told of it and may not cite: where it is from, of when it is."""

    def block(self) -> dict[str, Any]:
        """https://platform.claude.com/docs/en/build-with-claude/citations"""
        source = {"type": "text", "media_type": "text/plain", "data": self.text}
        form = {"type": "document", "source": source, "title": self.title}
        if self.context is not None:
            form["context"] = self.context
        return {**form, "citations": {"enabled": True}}


@dataclass(slots=True, frozen=True, kw_only=True)
class TurnSetup:
    """What a turn gets of its hook; what is not given stays as it is."""

    system: str | None = None
    """The system prompt, in place of the other."""
    model: str | None = None
    """Any that the provider has, whatever clients may choose."""
    content: Sequence[str | Document | Mapping[str, Any]] = ()
    """Behind the user's message, for the model alone, in this request and in all later ones of the
    conversation: texts, documents, blocks of the Messages API (`text`, `document`, `image`,
    `search_result`). Together 1 MiB at most."""


@dataclass(slots=True, frozen=True, kw_only=True)
class CallContext:
    """A tool call whose input fits its schema, and that has not run."""

    principal: str
    conversation: str
    turn: str
    tool_id: str
    tool_name: str
    input: dict[str, Any]
    runs_on: RunsOn
    state: Any


@dataclass(slots=True, frozen=True, kw_only=True)
class TurnEnd:
    """A turn that is done; its `done` is stored."""

    principal: str
    conversation: str
    turn: str
    model: str
    """The last that was asked."""
    stop_reason: str
    code: str | None
    """Of its `error`, if it failed."""
    usage: TotalUsage
    cost_usd: float | None
    """None: a price is not known."""
    state: Any


@dataclass(slots=True, frozen=True, kw_only=True)
class Hooks:
    """Functions of the app's own, sync (each call in a thread) or async (in the service's loop).

    A hook that is not given costs nothing. One that fails otherwise than its rule says is logged
    with its traceback; so is one that takes longer than `timeout_seconds`, which is told to stop.
    To refuse is to raise `Rejected(code, message)`: clients see both, as of the service itself.
    """

    admit: Callable[[MessageContext], Awaitable[None] | None] | None = None
    """Before a message is accepted: quotas, moderation. What it refuses leaves no trace. Its sender
    waits for it, with all commands behind that on the same socket: be quick. What it lets pass may
    still be refused (`busy`), and is not asked about when it comes again with its key.

    Fails, or takes too long: the message is refused (`internal`, `timeout`)."""
    before_turn: Callable[[TurnContext], Awaitable[TurnSetup | None] | TurnSetup | None] | None = (
        None
    )
    """As a turn begins: retrieval, prompts and models by user. Stop and the turn's time limit hold
    for it. It is asked once a turn; what it gives is stored before the model sees it.

    Refuses: the turn ends `failed` with that code, and its message, which its readers have seen, is
    not shown to the model again (to a `title_model` it may be, which asks beside the turn: what no
    model may see, `admit` refuses). Fails, or takes too long: it ends `failed` (`internal`,
    `timeout`); the next turn goes on behind it."""
    before_tool: Callable[[CallContext], Awaitable[None] | None] | None = None
    """Before a call runs, here or in a client, and before anybody is asked to approve it; again
    where who approved it has changed its input. Not of the provider's own tools.

    Refuses: it does not run, and the model is told why. Fails, or takes too long: it does not run,
    and the model is told that it could not be checked."""
    after_turn: Callable[[TurnEnd], Awaitable[None] | None] | None = None
    """Once a turn's `done` is stored: billing. Nothing waits for it, but the end of the service.

    Fails, or takes too long: that is logged, and it is not asked again. Turns that a crash cut off
    have none: their `done` says `interrupted`."""
    timeout_seconds: float = 10.0
    """The longest run of each."""
