"""What a turn runs with: the client's wishes, as far as the server lets clients choose. Pure."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import from_json

from turnwire_protocol import ClientTool, Code, SendBody, ThinkingOption
from turnwire_server.core.turn.usage import Price
from turnwire_server.errors import Rejected
from turnwire_server.model.compaction import ContextEdit
from turnwire_server.model.families import ModelOptions
from turnwire_server.tools.schema import MAX_SIZE, schema_problem, size_of

__all__ = ["DEFAULT_MODEL", "ClientOption", "Options", "Policy", "resolve"]

DEFAULT_MODEL = "claude-sonnet-5-5"

ClientOption = Literal["model", "system", "max_tokens", "thinking", "tools"]


class Policy(BaseModel):
    """What the operator sets for all turns: defaults, ceilings, limits. Times are in seconds.

    Each is a setting of the service (see `Settings`), and stands only here.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    model: str = DEFAULT_MODEL
    """The model clients get unless they choose another."""
    models: list[str] = []
    """Other models that clients may choose."""
    fallback_model: str | None = None
    """The model of further attempts after `overloaded`."""
    fallbacks: list[str] = []
    """Models that answer what another refuses, in this order; or `default`: those that the provider
    has for it. They are asked by the provider itself, within the same answer."""
    system: str | None = None
    """The system prompt."""
    max_tokens: int = Field(default=16_384, ge=1)
    """Longest answer of a step: default and ceiling."""
    thinking: ThinkingOption = ThinkingOption(type="adaptive", display="summarized")
    """How models think: the Messages API's `thinking` object; each gets the form it knows."""
    model_options: dict[str, ModelOptions] = {}
    """By name of a model, or its beginning: `thinking`, `max_tokens`, `effort`, `window`,
    `compaction` where its family's differ from what is built in."""
    compact_at: float = Field(default=0.8, ge=0, le=1)
    """How full a model's window may get, as a share of it, until older messages are summarised;
    0: they never are."""
    context_edits: list[ContextEdit] = []
    """What the provider leaves out of long conversations: edits of the Messages API's
    `context_management`, each in JSON, such as `{"type": "clear_tool_uses_20250919"}`."""
    client_options: frozenset[ClientOption] = frozenset(
        ("model", "max_tokens", "thinking", "tools")
    )
    """What clients may choose in a `send`."""
    max_steps: int = Field(default=20, ge=1)
    """Most model calls in a turn."""
    max_queued: int = Field(default=8, ge=0)
    """Most messages that wait behind a running turn."""
    retries: int = Field(default=3, ge=0)
    """Attempts after the first, for failures worth another."""
    base_delay: float = Field(default=1.0, gt=0)
    """Seconds before the second attempt; doubles each time."""
    max_delay: float = Field(default=30.0, gt=0)
    """Longest delay between attempts, in seconds."""
    turn_timeout: float = Field(default=900.0, gt=0)
    """Longest turn, in seconds."""
    approval_timeout: float = Field(default=300.0, gt=0)
    """Seconds a tool call waits for approval; then it counts as denied."""
    client_tool_timeout: float = Field(default=120.0, gt=0)
    """Longest run of a tool in a client, in seconds."""
    detach_grace: float = Field(default=10.0, ge=0)
    """Seconds without a reader until a turn with `on_detach: cancel` ends."""
    prices: dict[str, Price] = {}
    """US dollars by model: `input`, `output`, `cache_read`, `cache_creation` (`cache_creation_1h`)
    per million tokens, `web_search` per thousand. They go before the list of the Claude API, as of
    2026-10-24, which is built in and holds where that API itself is asked. Without a price no cost
    is shown."""

    def fallbacks_of(self, model: str) -> Literal["default"] | tuple[str, ...]:
        """The models that answer what this one refuses; none but others."""
        if "default" in self.fallbacks:
            return "default"
        return tuple(name for name in dict.fromkeys(self.fallbacks) if name != model)

    @field_validator("fallbacks")
    @classmethod
    def _check_fallbacks(cls, fallbacks: list[str]) -> list[str]:
        if "default" in fallbacks and len(fallbacks) > 1:
            raise ValueError("`default` stands alone")
        return fallbacks

    @field_validator("context_edits", mode="before")
    @classmethod
    def _read_edits(cls, edits: object) -> object:
        if not isinstance(edits, list | tuple):
            return edits
        return [from_json(edit) if isinstance(edit, str) else edit for edit in edits]

    @field_validator("context_edits")
    @classmethod
    def _check_edits(cls, edits: list[ContextEdit]) -> list[ContextEdit]:
        for edit in edits:
            if not isinstance(edit.get("type"), str):
                raise ValueError("each edit is an object with a type")
            if edit["type"].startswith("compact_"):
                raise ValueError("set compact_at, which has older messages summarised")
        return edits

    @property
    def all_models(self) -> list[str]:
        """The default first."""
        return [self.model, *(model for model in self.models if model != self.model)]


class Options(BaseModel):
    """What one turn runs with; stored with its `start` event."""

    model_config = ConfigDict(frozen=True)

    model: str
    max_tokens: int
    system: str | None = None
    thinking: dict[str, Any]
    tools: list[str]
    client_tools: list[ClientTool] = []
    runner: str | None = None


def resolve(send: SendBody, policy: Policy, *, tools: list[str]) -> Options:
    """The options of a turn; `tools` are the names the server has.

    Raises:
        Rejected: the client asked for what the server does not let it choose, or does not have.
    """
    for name in ("model", "system", "max_tokens", "thinking", "tools"):
        if getattr(send, name) is not None and name not in policy.client_options:
            raise Rejected(Code.BAD_COMMAND, f"{name}: this server does not let clients choose it")
    if send.model is not None and send.model not in policy.all_models:
        known = ", ".join(policy.all_models)
        raise Rejected(Code.BAD_COMMAND, f"model: not one of {known}")
    for name in send.tools or ():
        if name not in tools:
            raise Rejected(Code.BAD_COMMAND, f"tools: this server has no tool {name!r:.80}")
    _check_client_tools(send.client_tools or [], tools)
    max_tokens = min(send.max_tokens or policy.max_tokens, policy.max_tokens)
    thinking = (send.thinking or policy.thinking).model_dump(exclude_none=True)
    if thinking["type"] == "enabled" and thinking.get("budget_tokens", max_tokens) >= max_tokens:
        raise Rejected(
            Code.BAD_COMMAND, "thinking.budget_tokens: required, and less than max_tokens"
        )
    return Options(
        model=send.model or policy.model,
        max_tokens=max_tokens,
        system=send.system if send.system is not None else policy.system,
        thinking=thinking,
        tools=list(dict.fromkeys(tools if send.tools is None else send.tools)),
        client_tools=send.client_tools or [],
        runner=send.runner,
    )


def _check_client_tools(client_tools: list[ClientTool], tools: list[str]) -> None:
    if sum(size_of(tool.input_schema) for tool in client_tools) > MAX_SIZE:
        raise Rejected(Code.BAD_COMMAND, "client_tools: their schemas are too large")
    taken = set(tools)
    for index, tool in enumerate(client_tools):
        where = f"client_tools.{index}"
        if tool.name in taken:
            raise Rejected(Code.BAD_COMMAND, f"{where}.name: there is a tool of this name already")
        taken.add(tool.name)
        if problem := schema_problem(tool.input_schema, is_foreign=True):
            raise Rejected(Code.BAD_COMMAND, problem.at(f"{where}.input_schema"))
