"""Requests for a chat completion, as clients send them: what is not known here is let pass."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from turnwire_protocol import ClientTool, Code, Effort, SendBody, parse_body
from turnwire_server.core.turn.options import Policy
from turnwire_server.errors import Rejected
from turnwire_server.wires.bounds import MAX_MESSAGES, MAX_PARTS, MAX_TOOLS

__all__ = ["RUNNER", "ChatMessage", "ChatRequest", "Part", "models_of", "send_of"]

RUNNER = "openai"
"""The runner of tools that the client has."""

_EFFORTS = {"minimal": "low", **{level: level for level in get_args(Effort)}}
_ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}


class _Open(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ImageUrl(_Open):
    """`data:` only."""

    url: str


class File(_Open):
    """A PDF, as a `data:` URL."""

    file_data: str | None = None
    filename: str | None = None


class Part(_Open):
    """A part of a message."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    file: File | None = None


class ChatMessage(_Open):
    """One of the list; of an assistant's calls only their results matter, which the log has."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS)] | None = None
    tool_call_id: str | None = None


class Function(_Open):
    """What a tool is called, and takes."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(_Open):
    """A tool that the client runs."""

    type: str
    function: Function | None = None


class JsonSchema(_Open):
    """What a structured answer is to fit; always strictly."""

    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class ResponseFormat(_Open):
    """The form of the answer: `json_schema`; others are left to the model."""

    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(_Open):
    """What else the stream is to say."""

    include_usage: bool | None = None


class ChatRequest(_Open):
    """The body of `POST /chat/completions`."""

    model: str = Field(max_length=256)
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: str | dict[str, Any] | None = None
    n: int | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    metadata: dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    stop: str | list[str] | None = None

    @property
    def includes_usage(self) -> bool:
        """Whether the stream ends with a chunk that has the usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def models_of(policy: Policy) -> list[str]:
    """The models that a request may name, the default first."""
    return policy.all_models if "model" in policy.client_options else [policy.model]


def send_of(request: ChatRequest, policy: Policy, *, content: Any, system: str | None) -> SendBody:
    """The send that the request asks for: what clients may not choose here is left to the server.

    Raises:
        BadCommand, Rejected: it asks for what there is not.
    """
    if request.n not in (None, 1):
        raise Rejected(Code.BAD_COMMAND, "n: one choice at a time")
    if request.model not in models_of(policy):
        raise Rejected(Code.NOT_FOUND, f"The model {request.model!r:.80} does not exist here")
    fields: dict[str, Any] = {"content": content, "on_detach": "cancel"}
    chosen = {
        "model": request.model,
        "system": system,
        "max_tokens": request.max_completion_tokens or request.max_tokens,
        "effort": _EFFORTS.get(request.reasoning_effort or ""),
        "stop_sequences": _stops(request.stop),
        "output_format": _output_format(request.response_format),
    }
    for name, value in chosen.items():
        if value is not None and name in policy.client_options:
            fields[name] = value
    if request.tools and request.tool_choice != "none":
        tools = [_client_tool(index, tool) for index, tool in enumerate(request.tools)]
        fields |= {"client_tools": tools, "runner": RUNNER}
    # Whoever speaks on has stopped waiting for the last answer: their Stop is to hang up, and is
    # noticed only after the grace time.
    return parse_body(SendBody, fields | {"if_busy": "interrupt"})


def _stops(stop: str | list[str] | None) -> list[str] | None:
    given = [stop] if isinstance(stop, str) else stop or []
    # The model's API refuses white space, which clients of this one may well send ("\n").
    return [each for each in given if each.strip()] or None


def _output_format(format: ResponseFormat | None) -> dict[str, Any] | None:
    if format is None or format.type != "json_schema":
        return None
    schema = None if format.json_schema is None else format.json_schema.schema_
    if schema is None:
        path = "response_format.json_schema.schema"
        raise Rejected(Code.BAD_COMMAND, f"{path}: a JSON schema is required")
    return {"type": "json_schema", "schema": schema}


def _client_tool(index: int, tool: Tool) -> dict[str, Any]:
    if tool.type != "function" or tool.function is None:
        raise Rejected(Code.BAD_COMMAND, f"tools.{index}.type: function is required")
    function = tool.function
    named = {"name": function.name, "description": function.description or ""}
    schema = {"input_schema": function.parameters or _ANY_OBJECT}
    return parse_body(ClientTool, named | schema).model_dump()
