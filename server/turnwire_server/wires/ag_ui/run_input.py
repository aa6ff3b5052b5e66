"""What AG-UI's clients send (https://docs.ag-ui.com/sdk/js/core/types), and what it asks for. Pure.

Their `messages` are the whole conversation as the page has it. Of these only the last user message
counts, and what the page's tools have given since: the rest is in the log, which wins.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from turnwire_protocol import Code, Effort, OutputFormat, ThinkingOption, ToolChoice, parse_body
from turnwire_server.core.past import PastTurn
from turnwire_server.errors import Rejected
from turnwire_server.wires.bounds import MAX_ANSWERS, MAX_MESSAGES, MAX_TOOLS
from turnwire_server.wires.question import key_of

__all__ = ["Message", "Options", "ResumeEntry", "RunInput", "client_tools_of", "past_of"]

_MAX_PAST = 1000
"""Messages of a conversation from elsewhere: all of them are written at once."""


class _Open(BaseModel):
    """Unknown fields never fail: each version of these clients sends others."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", frozen=True, hide_input_in_errors=True
    )


def _or_nothing(value: Any) -> Any:
    """Apps put what they like into `forwardedProps`; ours is an object under our name."""
    options = value.get("turnwire") if isinstance(value, dict) else None
    return options if isinstance(options, dict) else {}


class Message(_Open):
    """One of the page's messages."""

    id: str
    role: str
    content: Any = None
    tool_call_id: str | None = None
    error: Any = None

    @property
    def is_of_answer(self) -> bool:
        """Whether it is a part of an answer, and not something that was asked."""
        return self.role in ("assistant", "reasoning", "tool")


class Tool(_Open):
    """A tool that runs in the page."""

    name: str
    description: str = ""
    parameters: Any = None


class ContextEntry(_Open):
    """Something that the page wants the model to know."""

    description: str = ""
    value: str = ""


class ResumeEntry(_Open):
    """What a person said to an interrupt, which has the id of its tool call."""

    interrupt_id: str
    status: str
    payload: Any = None


class Options(BaseModel):
    """What a page may choose for the turn: the fields of `send`."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    model: str | None = None
    max_tokens: int | None = None
    thinking: ThinkingOption | None = None
    effort: Effort | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tool_choice: ToolChoice | None = None
    output_format: OutputFormat | None = None
    tools: list[str] | None = None
    if_busy: Literal["reject", "queue", "interrupt"] = "reject"
    on_detach: Literal["continue", "cancel"] = "cancel"


class RunInput(_Open):
    """AG-UI's RunAgentInput, 1.0 and 0.x."""

    thread_id: str = Field(min_length=1, max_length=1024)
    run_id: str = Field(max_length=1024)
    protocol_version: str | None = None
    """Absent: a client of 0.x, which fails at what is new in 1.0."""
    messages: list[dict[str, Any]] = Field(default=[], max_length=MAX_MESSAGES)
    """As they came: most of them nobody looks at, and the page may be told of them again."""
    tools: list[Tool] | None = Field(default=None, max_length=MAX_TOOLS)
    context: list[ContextEntry] | None = Field(default=None, max_length=MAX_TOOLS)
    resume: list[ResumeEntry] | None = Field(default=None, max_length=MAX_ANSWERS)
    options: Annotated[Options, BeforeValidator(_or_nothing)] = Field(
        default=Options(), alias="forwardedProps"
    )

    @property
    def asked(self) -> Message:
        """The last user message.

        Raises:
            Rejected, BadCommand: there is none, or it is none.
        """
        return parse_body(Message, self.messages[self._asked_at])

    @property
    def before(self) -> Sequence[dict[str, Any]]:
        """What stands before the last user message."""
        return self.messages[: self._asked_at]

    @cached_property
    def since(self) -> Sequence[Message]:
        """What the page has behind the last user message: its answer, as far as it has come.

        Raises:
            Rejected, BadCommand: it is none.
        """
        since = self.messages[self._asked_at + 1 :]
        if len(since) > MAX_ANSWERS:
            most = f"messages: at most {MAX_ANSWERS} behind the last one of a user"
            raise Rejected(Code.BAD_COMMAND, most)
        return [parse_body(Message, message) for message in since]

    @property
    def without_answer(self) -> list[dict[str, Any]]:
        """All messages but those of the answer to the last one of a user."""
        at = self._asked_at + 1
        parts = zip(self.messages[at:], self.since, strict=True)
        kept = [message for message, parsed in parts if not parsed.is_of_answer]
        return [*self.messages[:at], *kept]

    @cached_property
    def _asked_at(self) -> int:
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index].get("role") == "user":
                return index
        raise Rejected(Code.BAD_COMMAND, "messages: a user message is required")

    @property
    def instructions(self) -> str:
        """What the page wants the model to know beside the messages; empty if nothing."""
        said = [
            message["content"]
            for message in self.messages
            if message.get("role") in ("system", "developer")
            and isinstance(message.get("content"), str)
        ]
        said += [f"{entry.description}:\n{entry.value}" for entry in self.context or ()]
        return "\n\n".join(said)


def client_tools_of(tools: Sequence[Tool], *, taken: Sequence[str]) -> list[dict[str, Any]]:
    """The page's tools as `client_tools` of a `send`, without those whose names the server has."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            # AG-UI asks for no parameters where there are none; the model wants a schema.
            "input_schema": tool.parameters or {"type": "object", "properties": {}},
        }
        for tool in tools
        if tool.name not in taken
    ]


def past_of(messages: Sequence[dict[str, Any]]) -> list[PastTurn]:
    """The turns that the messages make, the last ones: for a page that brings a conversation."""
    past: list[PastTurn] = []
    for message in messages[-_MAX_PAST:]:
        id, role = message.get("id"), message.get("role")
        text = "\n\n".join(_texts(message.get("content"))).strip()
        if role == "user" and text and isinstance(id, str):
            past.append(PastTurn(text, key_of(id), ""))
        elif role == "assistant" and text and past:
            answer = "\n\n".join(filter(None, (past[-1].answer, text)))
            past[-1] = past[-1]._replace(answer=answer)
    return past


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(text := part.get("text"), str):
                yield text
