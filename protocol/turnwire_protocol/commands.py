"""The commands a client sends, and the one door they come in by; knows nothing of their effects."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
    with_config,
)
from pydantic_core import PydanticCustomError, from_json
from typing_extensions import TypedDict

from turnwire_protocol.cursor import MAX_SEQ
from turnwire_protocol.errors import BadCommand, BadFrame
from turnwire_protocol.events import Content, Object, TextBlock

__all__ = [
    "MAX_TOKEN_CHARACTERS",
    "Cancel",
    "CancelBody",
    "ClientTool",
    "Command",
    "Decide",
    "DecideBody",
    "Effort",
    "Hello",
    "OutputFormat",
    "Ping",
    "Progress",
    "ProgressBody",
    "Send",
    "SendBody",
    "Subscribe",
    "ThinkingOption",
    "ToolChoice",
    "ToolOutput",
    "ToolOutputBody",
    "Unsubscribe",
    "first_problem",
    "parse_body",
    "parse_command",
    "parse_object",
]

Key = Annotated[str, Field(min_length=1, max_length=128)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Count = Annotated[int, Field(strict=True, le=MAX_SEQ)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
StopSequence = Annotated[str, Field(min_length=1, max_length=256, pattern=r"\S")]
"""The Messages API refuses one that is only white space."""
Trace = Annotated[str, Field(pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
"""A `traceparent` (https://www.w3.org/TR/trace-context/)."""
Effort = Literal["low", "medium", "high", "xhigh", "max"]

MAX_TOKEN_CHARACTERS = 4096
_MAX_STOP_SEQUENCES = 16

_FROM_WIRE = object()
"""The validation context of input from a client: only there is an explicit null a mistake."""


class _Strict(BaseModel):
    # Input is hidden so that no log of the error can show a token or a message.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="after")
    @classmethod
    def _absent_means_absent(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.context is _FROM_WIRE:
            raise PydanticCustomError("null", "null is not allowed, leave the field out")
        return value


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


class ToolChoice(_Strict):
    """Whether the model calls a tool in its first step, in the form of the Messages API."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"type": {"const": "tool"}}},
            "then": {"required": ["name"]},
            "else": {"not": {"required": ["name"]}},
        }
    )

    type: Literal["auto", "any", "tool", "none"]
    name: Name | None = Field(default=None, description="with `tool`: which")
    disable_parallel_tool_use: Annotated[bool, Field(strict=True)] | None = Field(
        default=None, description="at most one call at a time"
    )

    @model_validator(mode="after")
    def _names_what_it_forces(self) -> Self:
        if (self.type == "tool") != (self.name is not None):
            raise PydanticCustomError("name", "name: required with type tool, and only there")
        return self

    @property
    def is_forced(self) -> bool:
        """Whether the model must call a tool."""
        return self.type in ("any", "tool")


# No model: a field named `schema` would hide a method of pydantic's.
@with_config(ConfigDict(extra="forbid", hide_input_in_errors=True))
class OutputFormat(TypedDict):
    """What the answer is to be: JSON that fits this JSON Schema (structured output)."""

    type: Literal["json_schema"]
    schema: Object


class Hello(_Command):
    """Credentials, where the server wants them after the upgrade."""

    type: Literal["hello"] = "hello"
    token: str = Field(max_length=MAX_TOKEN_CHARACTERS, repr=False)


class SendBody(_Strict):
    """What a `send` asks for, on any transport."""

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"client_tools": ["runner"]}})

    content: Content = Field(json_schema_extra={"minLength": 1, "minItems": 1})
    key: Key | None = Field(default=None, description="the same key twice is one send")
    conversation: Name | None = Field(default=None, description="absent: a new one")
    model: Name | None = None
    system: str | None = None
    max_tokens: Count | None = Field(default=None, ge=1)
    thinking: ThinkingOption | None = None
    effort: Effort | None = Field(default=None, description="how hard the model tries")
    temperature: Fraction | None = None
    top_p: Fraction | None = None
    top_k: Count | None = Field(default=None, ge=1)
    stop_sequences: list[StopSequence] | None = Field(
        default=None, max_length=_MAX_STOP_SEQUENCES, description="texts that end the answer"
    )
    tool_choice: ToolChoice | None = None
    output_format: OutputFormat | None = None
    tools: list[Name] | None = Field(
        default=None, description="names of the server's tools to offer; absent: all"
    )
    client_tools: list[ClientTool] | None = Field(
        default=None, description="tools that run in this client"
    )
    runner: Name | None = Field(default=None, description="this client's own random id")
    if_busy: Literal["reject", "queue", "interrupt"] = Field(
        default="reject", description="what to do while a turn runs or waits"
    )
    retract: Name | None = Field(
        default=None, description="a turn: it and all after it become void first"
    )
    on_detach: Literal["continue", "cancel"] | None = Field(
        default=None, description="what becomes of the turn when nobody follows any more"
    )
    trace: Trace | None = Field(
        default=None, description="the `traceparent` of the trace in which the turn is to be"
    )

    @field_validator("content")
    @classmethod
    def _says_something(cls, content: Content) -> Content:
        # The Messages API refuses text that is only white space, and the next send with it.
        blocks = [TextBlock(text=content)] if isinstance(content, str) else content
        if not any(not isinstance(block, TextBlock) or block.text.strip() for block in blocks):
            raise PydanticCustomError("blank", "text that is not only white space is required")
        return content

    @model_validator(mode="after")
    def _client_tools_have_a_runner(self) -> Self:
        if self.client_tools is not None and self.runner is None:
            raise PydanticCustomError("runner", "runner: required with client_tools")
        return self


class Send(_Command, SendBody):
    """A user's message: begins a turn."""

    type: Literal["send"] = "send"
    follow: Literal["conversation", "turn"] | None = Field(
        default=None, description="how long the subscription lasts that it begins"
    )


class CancelBody(_Strict):
    """Which turn to stop: `turn`, or the `key` of its send; exactly one of them."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["turn"]}, {"required": ["key"]}]}
    )

    turn: Name | None = None
    key: Key | None = None

    @model_validator(mode="after")
    def _names_one_turn(self) -> Self:
        if (self.turn is None) == (self.key is None):
            raise PydanticCustomError("turn", "turn: exactly one of turn and key is required")
        return self


class Cancel(_Command, CancelBody):
    """Stop a turn."""

    type: Literal["cancel"] = "cancel"
    conversation: Name


class Subscribe(_Command):
    """Follow a conversation from after `after`; replaces this connection's earlier subscription."""

    type: Literal["subscribe"] = "subscribe"
    conversation: Name
    after: Count = Field(default=0, ge=0)
    last: Count | None = Field(default=None, ge=1)
    epoch: Name | None = None
    runner: Name | None = None


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


class ProgressBody(_Strict):
    """How far a tool is that runs in a client; `fraction` is from 0 to 1."""

    tool_id: Name
    runner: Name
    message: str = Field(max_length=4096)
    fraction: Fraction | None = None


class Progress(_Command, ProgressBody):
    """Tell the readers how far a client's tool is."""

    type: Literal["progress"] = "progress"
    conversation: Name


class Ping(_Command):
    """Is anyone there?"""

    type: Literal["ping"] = "ping"


Command = Annotated[
    Hello | Send | Cancel | Subscribe | Unsubscribe | Decide | ToolOutput | Progress | Ping,
    Field(discriminator="type"),
]

_MODELS: dict[str, type[_Command]] = {
    model.model_fields["type"].default: model
    for model in (Hello, Send, Cancel, Subscribe, Unsubscribe, Decide, ToolOutput, Progress, Ping)
}
COMMAND_TYPES = frozenset(_MODELS)

Body = TypeVar("Body", bound=BaseModel)


def parse_command(frame: str | bytes) -> Command:
    """The command in a text frame.

    Raises:
        BadFrame: it is not a JSON object.
        BadCommand: unknown type, or a field is missing, unknown or malformed; the message names it.
    """
    data = parse_object(frame)
    command_type = data.get("type")
    command_id = data.get("id")
    if not (isinstance(command_id, str) and 1 <= len(command_id) <= 64):
        command_id = None
    if not isinstance(command_type, str):
        raise BadCommand("type: a string is required", command_id=command_id)
    if command_type not in _MODELS:
        known = ", ".join(sorted(COMMAND_TYPES))
        raise BadCommand(f"type: unknown command; known are {known}", command_id=command_id)
    try:
        command: Any = parse_body(_MODELS[command_type], data)
    except BadCommand as error:
        error.command_id = command_id
        raise
    parsed: Command = command
    return parsed


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in a frame or a request body; of a repeated name the last value counts.

    Raises:
        BadFrame: not UTF-8, not JSON (RFC 8259: no NaN), nested too deep, or not an object.
    """
    try:
        encoded = text.encode() if isinstance(text, str) else text
        data = from_json(encoded, allow_inf_nan=False)
    except ValueError as error:
        raise BadFrame("not JSON") from error
    if not isinstance(data, dict):
        raise BadFrame("not a JSON object")
    return data


def parse_body(model: type[Body], data: dict[str, Any]) -> Body:
    """A command, or the body of one on another transport, as a client sent it.

    Raises:
        BadCommand: a field is missing, unknown, null or malformed; the message names it.
    """
    try:
        return model.model_validate(data, context=_FROM_WIRE)
    except ValidationError as error:
        raise BadCommand(first_problem(error)) from error


def first_problem(error: ValidationError) -> str:
    """`field: what is wrong`, of the first field in question; never a value of the input."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    of_field = [problem for problem in problems if problem["loc"][:1] == problems[0]["loc"][:1]]
    # A union reports every branch: the deepest is the one that was meant.
    problem = max(of_field, key=lambda problem: len(problem["loc"]))
    path = [str(part)[:64] for part in problem["loc"] if not _is_branch(part)]
    return f"{'.'.join(path)}: {problem['msg']}" if path else problem["msg"]


def _is_branch(part: int | str) -> bool:
    """Whether pydantic means a branch of a union and no field."""
    return part == "str" or "[" in str(part)
