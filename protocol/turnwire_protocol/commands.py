"""The commands a client sends, and the one door they come in by; knows nothing of their effects."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from turnwire_protocol.errors import BadCommand, BadFrame
from turnwire_protocol.events import Content, Object

__all__ = [
    "Cancel",
    "CancelBody",
    "ClientTool",
    "Command",
    "Decide",
    "DecideBody",
    "Hello",
    "Ping",
    "Send",
    "SendBody",
    "Subscribe",
    "ThinkingOption",
    "ToolOutput",
    "ToolOutputBody",
    "Unsubscribe",
    "first_problem",
    "parse_command",
]

Key = Annotated[str, Field(min_length=1, max_length=128)]
Name = Annotated[str, Field(min_length=1, max_length=128)]


Count = Annotated[int, Field(strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Command(_Strict):
    """What every command carries: `id` correlates the reply on this connection."""

    id: str = Field(min_length=1, max_length=64)


class ThinkingOption(_Strict):
    """How the model thinks, in the form of the Messages API's `thinking` parameter."""

    type: Literal["adaptive", "enabled", "disabled"]
    budget_tokens: Count | None = Field(default=None, ge=1024)
    display: Literal["summarized", "omitted"] | None = None


class ClientTool(_Strict):
    """A tool that runs in the sending client."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    description: str = Field(max_length=16_384)
    input_schema: Object


class Hello(_Command):
    """Credentials, where the server wants them after the upgrade."""

    type: Literal["hello"] = "hello"
    token: str = Field(max_length=4096)


class SendBody(_Strict):
    """What a `send` asks for, on any transport."""

    content: Content = Field(min_length=1)
    key: Key | None = None
    conversation: Name | None = None
    model: Name | None = None
    system: str | None = None
    max_tokens: Count | None = Field(default=None, ge=1)
    thinking: ThinkingOption | None = None
    tools: list[Name] | None = None
    client_tools: list[ClientTool] | None = None
    runner: Name | None = None
    if_busy: Literal["reject", "queue", "interrupt"] = "reject"
    retract: Name | None = None
    on_detach: Literal["continue", "cancel"] | None = None


class Send(_Command, SendBody):
    """A user's message: begins a turn."""

    type: Literal["send"] = "send"


class CancelBody(_Strict):
    """Which turn to stop: `turn`, or the `key` of its send."""

    turn: Name | None = None
    key: Key | None = None


class Cancel(_Command, CancelBody):
    """Stop a turn."""

    type: Literal["cancel"] = "cancel"
    conversation: Name


class Subscribe(_Command):
    """Follow a conversation from after `after`; replaces this connection's earlier subscription."""

    type: Literal["subscribe"] = "subscribe"
    conversation: Name
    after: Count = Field(default=0, ge=0)
    epoch: str | None = None


class Unsubscribe(_Command):
    """Stop following a conversation."""

    type: Literal["unsubscribe"] = "unsubscribe"
    conversation: Name


class DecideBody(_Strict):
    """The answer to a `tool_approval`."""

    tool_id: Name
    decision: Literal["allow", "deny"]
    input: Object | None = None
    reason: str | None = Field(default=None, max_length=4096)


class Decide(_Command, DecideBody):
    """Allow or deny a tool call."""

    type: Literal["decide"] = "decide"
    conversation: Name


class ToolOutputBody(_Strict):
    """The result of a tool that ran in a client."""

    tool_id: Name
    runner: Name
    content: Content
    is_error: Annotated[bool, Field(strict=True)] = False


class ToolOutput(_Command, ToolOutputBody):
    """Give the result of a client's tool back into the running turn."""

    type: Literal["tool_output"] = "tool_output"
    conversation: Name


class Ping(_Command):
    """Is anyone there?"""

    type: Literal["ping"] = "ping"


Command = Annotated[
    Hello | Send | Cancel | Subscribe | Unsubscribe | Decide | ToolOutput | Ping,
    Field(discriminator="type"),
]

COMMAND: TypeAdapter[Any] = TypeAdapter(Command)
COMMAND_TYPES = frozenset(COMMAND.json_schema()["discriminator"]["mapping"])


def parse_command(frame: str | bytes) -> Command:
    """The command in a text frame.

    Raises:
        BadFrame: it is not a JSON object.
        BadCommand: unknown type, or a field is missing, unknown or malformed; the message names it.
    """
    try:
        command: Command = COMMAND.validate_json(frame)
    except ValidationError as error:
        raise _classify(frame, error) from error
    return command


def first_problem(error: ValidationError) -> str:
    """`field: what is wrong`, of the first problem pydantic found; never a value of the input."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = [str(part) for part in problem["loc"] if part not in COMMAND_TYPES]
    return f"{'.'.join(path) or 'body'}: {problem['msg']}"


def _classify(frame: str | bytes, error: ValidationError) -> BadFrame | BadCommand:
    try:
        data = from_json(frame, allow_inf_nan=False)
    except ValueError:
        return BadFrame("the frame is not JSON")
    if not isinstance(data, dict):
        return BadFrame("the frame is not a JSON object")
    command_id = data.get("id")
    if not isinstance(command_id, str):
        command_id = None
    match data.get("type"):
        case str() as kind if kind in COMMAND_TYPES:
            return BadCommand(first_problem(error), command_id=command_id)
        case str():
            known = ", ".join(sorted(COMMAND_TYPES))
            return BadCommand(f"type: unknown command; known are {known}", command_id=command_id)
        case _:
            return BadCommand("type: a string is required", command_id=command_id)
