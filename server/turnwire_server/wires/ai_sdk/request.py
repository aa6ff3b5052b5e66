"""What a page asks for: the body of its request, read openly. Pure.

Their bodies carry a whole conversation and whatever the page adds. Only what is needed is looked
at; what is not known here fails nothing.
"""

import re
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from turnwire_protocol import BadCommand, Decide, SendBody, ToolOutput, parse_body
from turnwire_server.core.past import PastTurn
from turnwire_server.wires.ai_sdk.values import Json
from turnwire_server.wires.bounds import MAX_ANSWERS, MAX_MESSAGES, MAX_TOOLS
from turnwire_server.wires.question import key_of

__all__ = ["Answers", "ChatRequest", "Message", "answers_of", "id_of_message", "past_of"]

_MAX_PAST = 500
"""Turns that a new conversation takes over from a page."""
_MAX_REASON_CHARS = 4096
_OPTIONS = (
    "model",
    "max_tokens",
    "thinking",
    "effort",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tool_choice",
    "output_format",
    "if_busy",
    "on_detach",
)
_MAX_ID_CHARS = 128
_OUTPUTS = ("output-available", "output-error")
_UNKEYED = re.compile(r"(t_[0-9a-f]+)\.message")


def id_of_message(turn: str, key: str | None) -> str:
    """The id by which pages know the user's message of a turn; its answer has that of the turn."""
    return f"{turn}.message" if key is None else key.partition("~")[0]


class Message(BaseModel):
    """A UI message, as far as it is looked at."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    id: str = ""
    role: str
    parts: list[Json] = []

    @property
    def texts(self) -> list[str]:
        """Its texts that say something: the model takes no others."""
        texts = (part.get("text") for part in self.parts if part.get("type") == "text")
        return [text for text in texts if isinstance(text, str) and text.strip()]

    @property
    def name(self) -> str:
        """What the turn of this message is looked up by."""
        unkeyed = _UNKEYED.fullmatch(self.id)
        return self.id if unkeyed is None else unkeyed[1]


class Answers(NamedTuple):
    """What a request answers of an earlier one."""

    message: str
    """The answered message."""
    given: list[Decide | ToolOutput]
    decided: list[str]
    """The calls that were decided here, perhaps by an earlier request."""
    waiting: list[str]
    """The calls of which nothing is known here: somebody else may have decided them."""


class ChatRequest(BaseModel):
    """The body of `POST …/chat`."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    id: str = Field(min_length=1, max_length=1024)
    messages: list[Any] = Field(min_length=1, max_length=MAX_MESSAGES)
    trigger: str = "submit-message"
    messageId: str | None = None
    model: Any = None
    system: Any = None
    max_tokens: Any = None
    thinking: Any = None
    effort: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    stop_sequences: Any = None
    tool_choice: Any = None
    output_format: Any = None
    tools: Any = None
    client_tools: Any = None
    if_busy: Any = None
    on_detach: Any = None

    @property
    def wants_another(self) -> bool:
        """Whether the answer there is should be replaced."""
        return self.trigger == "regenerate-message"

    @property
    def edits(self) -> bool:
        """Whether the message replaces an earlier one, be it with the same words."""
        return self.messageId is not None and not self.wants_another

    def answered(self) -> Message | None:
        """The assistant's message that this request answers calls of; None: it asks for one."""
        if self.wants_another:
            return None
        for at in range(len(self.messages) - 1, -1, -1):
            given = self.messages[at]
            is_named = isinstance(given, dict) and given.get("id") == self.messageId
            if is_named and given.get("role") == "assistant":
                return self._message(at)
            if self.messageId is None:
                break
        last = self._message(len(self.messages) - 1)
        return last if last.role == "assistant" else None

    def asked(self) -> tuple[Message, Sequence[Message]]:
        """The last message of the user, and what is said to have come before it.

        Raises:
            BadCommand: there is none.
        """
        for at in range(len(self.messages) - 1, -1, -1):
            message = self._message(at)
            if message.role == "user":
                return message, [*self._before(at)]
        raise BadCommand("messages: a message of the user is required")

    def send(
        self, content: Any, *, runner: str, may_have_system: bool, taken: Collection[str]
    ) -> SendBody:
        """The `send` for a message with this content; `taken` are the names of the server's tools.

        Raises:
            BadCommand: an option is not valid.
        """
        given = {name: getattr(self, name) for name in _OPTIONS}
        system = self.system if isinstance(self.system, str) else self._system()
        if may_have_system and system:
            # Other front ends always send one: where they may not choose, it is nothing to refuse.
            given["system"] = system
        given["tools"] = self.tools if isinstance(self.tools, list) else None
        # Pages name tools of the server, too, to say how they look.
        client_tools = [*islice(self._client_tools(), MAX_TOOLS + 1)]
        if len(client_tools) > MAX_TOOLS:
            raise BadCommand(f"tools: at most {MAX_TOOLS}")
        client_tools = [tool for tool in client_tools if _name_of(tool) not in taken]
        if client_tools:
            given |= {"client_tools": client_tools, "runner": runner}
        said = {name: value for name, value in given.items() if value is not None}
        return parse_body(SendBody, {"on_detach": "cancel", **said, "content": content})

    def _message(self, at: int) -> Message:
        return parse_body(_Listed, {"messages": self.messages[at]}).messages

    def _before(self, end: int) -> Iterator[Message]:
        for at in range(max(end - 2 * _MAX_PAST, 0), end):
            # Nobody asks about these: what is none of them is no reason to refuse.
            with suppress(BadCommand):
                yield self._message(at)

    def _system(self) -> str:
        first = self.messages[0]
        is_system = isinstance(first, dict) and first.get("role") == "system"
        return "\n\n".join(self._message(0).texts) if is_system else ""

    def _client_tools(self) -> Iterator[Any]:
        """Tools that run in the page: in our form, or as an object by their names."""
        yield from self.client_tools if isinstance(self.client_tools, list) else ()
        if not isinstance(self.tools, dict):
            return
        for name, tool in self.tools.items():
            if not isinstance(tool, dict):
                raise BadCommand(f"tools.{name[:64]}: an object is required")
            schema = tool.get("parameters", tool.get("inputSchema")) or {"type": "object"}
            yield {
                "name": name,
                "description": tool.get("description") or "",
                "input_schema": schema,
            }


def _name_of(tool: Any) -> Any:
    return tool.get("name") if isinstance(tool, dict) else None


class _Listed(BaseModel):
    """A message by the name that its problems are told by."""

    model_config = ConfigDict(hide_input_in_errors=True)

    messages: Message


def past_of(messages: Sequence[Message]) -> list[PastTurn]:
    """What was said elsewhere, as turns: texts only."""
    turns: dict[str, PastTurn] = {}
    for message in messages:
        if message.role == "user" and (text := "\n\n".join(message.texts)):
            key = key_of(message.id or secrets.token_hex(8))
            turns[key] = PastTurn(text, key, "")
        elif message.role == "assistant" and turns:
            key = next(reversed(turns))
            answer = "\n\n".join([*filter(None, [turns[key].answer]), *message.texts])
            turns[key] = turns[key]._replace(answer=answer)
    return [*turns.values()]


def answers_of(message: Message, *, conversation: str, runner: str) -> Answers:
    """The decisions and results that a page has put into an assistant's message, in its last step.

    Results of calls that ran here are among them: the conversation knows that nobody asked.

    Raises:
        BadCommand: they are too many, or one of them is none.
    """
    starts = [at for at, part in enumerate(message.parts) if part.get("type") == "step-start"]
    given: list[Decide | ToolOutput] = []
    decided: list[str] = []
    waiting: list[str] = []
    for part in message.parts[starts[-1] if starts else 0 :]:
        tool_id = part.get("toolCallId")
        if not isinstance(tool_id, str) or not 1 <= len(tool_id) <= _MAX_ID_CHARS:
            continue
        if part.get("providerExecuted"):
            continue
        place = {"id": "ai-sdk", "conversation": conversation, "tool_id": tool_id}
        if part.get("state") == "approval-responded":
            decided.append(tool_id)
            given.append(_decision(part, place))
        elif part.get("state") in _OUTPUTS:
            given.append(_output(part, {**place, "runner": runner}))
        else:
            waiting.append(tool_id)
        if len(given) > MAX_ANSWERS:
            raise BadCommand(f"parts: at most {MAX_ANSWERS} answers at once")
    return Answers(message.id, given, decided, waiting)


def _decision(part: Json, place: Json) -> Decide:
    approval = part.get("approval")
    approval = approval if isinstance(approval, dict) else {}
    said: Json = {"decision": "allow" if approval.get("approved") is True else "deny"}
    if isinstance(reason := approval.get("reason"), str) and reason:
        said["reason"] = reason[:_MAX_REASON_CHARS]
    return parse_body(Decide, {**place, **said})


def _output(part: Json, place: Json) -> ToolOutput:
    is_error = part.get("state") == "output-error"
    output = part.get("errorText" if is_error else "output", "")
    text = output if isinstance(output, str) else to_json(output).decode()
    return parse_body(ToolOutput, {**place, "content": text, "is_error": is_error})
