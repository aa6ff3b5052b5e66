"""What a turn runs with: the client's wishes, as far as the server lets clients choose. Pure."""

import hashlib
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import from_json

from turnwire_protocol import (
    ClientTool,
    Code,
    DocumentBlock,
    DocumentLink,
    Effort,
    Link,
    SendBody,
    ThinkingOption,
    ToolChoice,
)
from turnwire_server.core.turn.output_schema import api_schema
from turnwire_server.core.turn.usage import Price
from turnwire_server.errors import Rejected
from turnwire_server.model.compaction import ContextEdit
from turnwire_server.model.families import ModelOptions, lacks
from turnwire_server.model.request import ServiceTier, own_field
from turnwire_server.tools.schema import MAX_SIZE, SchemaProblem, schema_problem, size_of

__all__ = [
    "DEFAULT_MODEL",
    "ClientOption",
    "Options",
    "Policy",
    "Source",
    "resolve",
    "user_id_of",
]

DEFAULT_MODEL = "claude-sonnet-5-5"

ClientOption = Literal[
    "model",
    "system",
    "max_tokens",
    "thinking",
    "effort",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tool_choice",
    "output_format",
    "tools",
]
Source = Literal["url", "file"]
_SAMPLING = ("temperature", "top_p", "top_k")


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
    title_model: str | None = None
    """The model that gives new conversations their titles, in a small call of its own beside the
    first turn. Without one a title is the first words; the demo asks for none."""
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
    effort: Effort | None = None
    """How hard models try unless a client or `model_options` says otherwise; a model that does not
    know the level gets the next lower one."""
    temperature: float | None = Field(default=None, ge=0, le=1)
    """Sampling temperature, for models that take one and do not think."""
    top_p: float | None = Field(default=None, ge=0, le=1)
    """Nucleus sampling, likewise; goes with no `temperature`."""
    top_k: int | None = Field(default=None, ge=1)
    """Sampling from the likeliest tokens only, likewise."""
    stop_sequences: list[str] = []
    """Texts that end an answer, unless a client names others."""
    service_tier: ServiceTier | None = None
    """Whether the provider may use priority capacity (`auto`) or not (`standard_only`)."""
    user_ids: bool = False
    """Whether the provider is told a hash of who asks (`metadata.user_id`), against abuse."""
    request: dict[str, Any] = {}
    """More fields for the body of each request to the model, such as `inference_geo`; none of those
    that have settings of their own."""
    betas: list[str] = []
    """Betas of the Messages API that each request asks for (header `anthropic-beta`)."""
    client_options: frozenset[ClientOption] = frozenset(
        (
            "model",
            "max_tokens",
            "thinking",
            "effort",
            "stop_sequences",
            "tool_choice",
            "output_format",
            "tools",
        )
    )
    """What clients may choose in a `send`; besides these: `system`, `temperature`, `top_p`,
    `top_k`."""
    sources: list[Source] = []
    """What messages may refer to besides uploads: `url`, https addresses, which the provider
    fetches; `file`, files of the provider's Files API, anybody's who knows their ids."""
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

    @field_validator("request")
    @classmethod
    def _check_request(cls, request: dict[str, Any]) -> dict[str, Any]:
        if (path := own_field(request)) is not None:
            raise ValueError(f"{path} has a setting of its own, or is made of what a turn needs")
        return request

    @field_validator("stop_sequences")
    @classmethod
    def _check_stop_sequences(cls, sequences: list[str]) -> list[str]:
        if not all(sequence.strip() for sequence in sequences):
            raise ValueError("the API refuses one that is only white space")
        return sequences

    @property
    def named_models(self) -> set[str]:
        """All that turns may be answered by, as far as they are named here."""
        others = [] if self.fallback_model is None else [self.fallback_model]
        return {*self.all_models, *others, *self.fallbacks} - {"default"}

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
    effort: Effort | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] = []
    tool_choice: ToolChoice | None = None
    output_schema: dict[str, Any] | None = None
    """As the API takes it."""
    tools: list[str]
    client_tools: list[ClientTool] = []
    runner: str | None = None

    def changed(self, *, system: str | None, model: str | None) -> "Options":
        """The same for another system prompt or model, where one is given; without what the model
        refuses."""
        refused = lacks(model) if model is not None else frozenset()
        changes: dict[str, object] = {
            name: None for name in ("temperature", "top_p", "top_k") if name in refused
        }
        if self.tool_choice is not None and self.tool_choice.is_forced and "tool_choice" in refused:
            changes["tool_choice"] = None
        if "output_format" in refused:
            changes["output_schema"] = None
        given = {"system": system, "model": model}
        changes |= {name: value for name, value in given.items() if value is not None}
        return self.model_copy(update=changes)


def resolve(send: SendBody, policy: Policy, *, tools: list[str]) -> Options:
    """The options of a turn; `tools` are the names the server has.

    Raises:
        Rejected: the client asked for what the server does not let it choose or does not have, or
            for what the API refuses.
    """
    for name in get_args(ClientOption):
        if getattr(send, name) is not None and name not in policy.client_options:
            raise _refused(f"{name}: this server does not let clients choose it")
    if send.model is not None and send.model not in policy.all_models:
        known = ", ".join(policy.all_models)
        raise _refused(f"model: not one of {known}")
    _check_links(send, policy)
    model = send.model or policy.model
    for name in send.tools or ():
        if name not in tools:
            raise _refused(f"tools: this server has no tool {name!r:.80}")
    _check_client_tools(send.client_tools or [], tools)
    offered = list(dict.fromkeys(tools if send.tools is None else send.tools))
    _check_tool_choice(
        send.tool_choice, [*offered, *(tool.name for tool in send.client_tools or ())]
    )
    _check_model(send, model)
    max_tokens = min(send.max_tokens or policy.max_tokens, policy.max_tokens)
    samples = send.temperature is not None or send.top_p is not None
    return Options(
        model=model,
        max_tokens=max_tokens,
        system=send.system if send.system is not None else policy.system,
        thinking=_thinking(send, policy, max_tokens),
        effort=send.effort,
        # One of the first two takes the place of the other, too: models take one of them.
        temperature=send.temperature if samples else policy.temperature,
        top_p=send.top_p if samples else policy.top_p,
        top_k=send.top_k if send.top_k is not None else policy.top_k,
        stop_sequences=policy.stop_sequences
        if send.stop_sequences is None
        else send.stop_sequences,
        tool_choice=send.tool_choice,
        output_schema=_output_schema(send),
        tools=offered,
        client_tools=send.client_tools or [],
        runner=send.runner,
    )


def user_id_of(principal: str) -> str:
    """What the provider is told of who asks: the same for the same principal, and not readable."""
    return hashlib.sha256(f"turnwire\0{principal}".encode()).hexdigest()[:32]


def _thinking(send: SendBody, policy: Policy, max_tokens: int) -> dict[str, Any]:
    """How the turn thinks: not at all where the send asks for what the API refuses with thinking.

    For all its steps, though a tool is forced in the first only: a step that thinks must not follow
    one that did not within a turn.
    """
    without = next((name for name in _SAMPLING if getattr(send, name) is not None), None)
    if send.tool_choice is not None and send.tool_choice.is_forced:
        without = "tool_choice"
    if without is not None:
        if send.thinking is not None and send.thinking.type != "disabled":
            raise _refused(f"{without}: the API does not take it with thinking")
        return {"type": "disabled"}
    thinking = (send.thinking or policy.thinking).model_dump(exclude_none=True)
    if thinking["type"] == "enabled" and thinking.get("budget_tokens", max_tokens) >= max_tokens:
        raise _refused("thinking.budget_tokens: required, and less than max_tokens")
    return thinking


def _check_model(send: SendBody, model: str) -> None:
    """Whether the model takes what has no other form; a wish for effort or thinking is fitted."""
    is_forced = send.tool_choice is not None and send.tool_choice.is_forced
    for name in sorted(lacks(model)):
        if getattr(send, name) is not None and (name != "tool_choice" or is_forced):
            what = "one that forces a call" if name == "tool_choice" else "it"
            raise _refused(f"{name}: {model} does not take {what}")
    if send.temperature is not None and send.top_p is not None:
        raise _refused("top_p: not together with temperature")


def _check_links(send: SendBody, policy: Policy) -> None:
    blocks = send.content if isinstance(send.content, list) else []
    for index, block in enumerate(blocks):
        if isinstance(block, Link):
            kind: Source = "file" if block.url is None else "url"
            if kind not in policy.sources:
                raise _refused(f"content.{index}.{kind}: this server takes uploads only")
        is_cited = isinstance(block, DocumentBlock | DocumentLink) and block.citations
        if is_cited and send.output_format is not None:
            raise _refused(f"content.{index}.citations: not together with output_format")


def _check_tool_choice(choice: ToolChoice | None, offered: list[str]) -> None:
    if choice is None or not choice.is_forced:
        return
    if not offered:
        raise _refused("tool_choice: there is no tool to call")
    if choice.name is not None and choice.name not in offered:
        raise _refused(f"tool_choice.name: no tool {choice.name!r:.80} is offered")


def _output_schema(send: SendBody) -> dict[str, Any] | None:
    if send.output_format is None:
        return None
    schema = api_schema(send.output_format["schema"])
    if isinstance(schema, SchemaProblem):
        raise _refused(schema.at("output_format.schema"))
    return schema


def _refused(message: str) -> Rejected:
    return Rejected(Code.BAD_COMMAND, message)


def _check_client_tools(client_tools: list[ClientTool], tools: list[str]) -> None:
    if sum(size_of(tool.input_schema) for tool in client_tools) > MAX_SIZE:
        raise _refused("client_tools: their schemas are too large")
    taken = set(tools)
    for index, tool in enumerate(client_tools):
        where = f"client_tools.{index}"
        if tool.name in taken:
            raise _refused(f"{where}.name: there is a tool of this name already")
        taken.add(tool.name)
        if problem := schema_problem(tool.input_schema, is_foreign=True):
            raise _refused(problem.at(f"{where}.input_schema"))
