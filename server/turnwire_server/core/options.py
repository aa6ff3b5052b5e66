"""What a turn runs with: the client's wishes, as far as the server lets clients choose. Pure."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from turnwire_protocol import ClientTool, Code, SendBody, ThinkingOption
from turnwire_server.core.ledger import Price
from turnwire_server.errors import Refused
from turnwire_server.tools.schema import schema_problem

__all__ = ["ClientOption", "Options", "Policy", "resolve"]

ClientOption = Literal["model", "system", "max_tokens", "thinking", "tools"]


class Policy(BaseModel):
    """What the operator set: defaults, ceilings, limits of a turn."""

    model_config = ConfigDict(frozen=True)

    model: str
    models: tuple[str, ...] = ()
    """Models clients may choose besides `model`."""
    system: str | None = None
    max_tokens: int = 16_384
    """Default and ceiling."""
    thinking: ThinkingOption = ThinkingOption(type="adaptive", display="summarized")
    client_options: frozenset[ClientOption] = frozenset(
        ("model", "max_tokens", "thinking", "tools")
    )
    max_steps: int = 20
    retries: int = 3
    base_delay_seconds: float = 1.0
    max_delay_seconds: float = 30.0
    turn_timeout_seconds: float = 900.0
    tool_timeout_seconds: float = 60.0
    detach_grace_seconds: float = 10.0
    approval_timeout_seconds: float = 300.0
    client_tool_timeout_seconds: float = 120.0
    max_queued: int = 8
    """Messages that may wait behind a running turn."""
    fallback_model: str | None = None
    """The model for the next attempts after `overloaded`."""
    prices: Mapping[str, Price] = Field(default_factory=dict)

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
        Refused: the client asked for what the server does not let it choose, or does not have.
    """
    for name in ("model", "system", "max_tokens", "thinking", "tools"):
        if getattr(send, name) is not None and name not in policy.client_options:
            raise Refused(Code.BAD_COMMAND, f"{name}: this server does not let clients choose it")
    if send.model is not None and send.model not in policy.all_models:
        known = ", ".join(policy.all_models)
        raise Refused(Code.BAD_COMMAND, f"model: not one of {known}")
    for name in send.tools or ():
        if name not in tools:
            raise Refused(Code.BAD_COMMAND, f"tools: this server has no tool {name!r:.80}")
    _check_client_tools(send.client_tools or [], tools)
    max_tokens = min(send.max_tokens or policy.max_tokens, policy.max_tokens)
    thinking = (send.thinking or policy.thinking).model_dump(exclude_none=True)
    if thinking["type"] == "enabled" and thinking.get("budget_tokens", max_tokens) >= max_tokens:
        raise Refused(
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
    taken = set(tools)
    for index, tool in enumerate(client_tools):
        where = f"client_tools.{index}"
        if tool.name in taken:
            raise Refused(Code.BAD_COMMAND, f"{where}.name: there is a tool of this name already")
        taken.add(tool.name)
        if problem := schema_problem(tool.input_schema, is_foreign=True):
            raise Refused(Code.BAD_COMMAND, f"{where}.input_schema: {problem}")
