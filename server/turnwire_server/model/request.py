"""What a call of the API is given: a request in the form its model knows. Pure; knows no SDK.

Fields that the SDK's `messages.create` has as parameters go by name; those of betas, and those its
types have let go of, go by `extra_body`, and the names of betas by a header.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from turnwire_protocol import Effort
from turnwire_server.model.breakpoints import (
    CacheTtl,
    cache_control,
    with_breakpoints,
    with_last_marked,
)
from turnwire_server.model.compaction import (
    ContextEdit,
    add_context_management,
    without_reply_options,
)
from turnwire_server.model.families import (
    ModelOptions,
    compaction_of,
    context_of,
    fitted,
    of_family,
)
from turnwire_server.model.port import ApiBlock, ApiMessage, Context, ModelRequest, json_of
from turnwire_server.model.server_tools import betas_of, runs_code, skill, versioned

__all__ = ["RequestForm", "ServiceTier", "own_field"]

ServiceTier = Literal["auto", "standard_only"]

_BETA_HEADER = "anthropic-beta"
_NEVER_DECLINES = {
    "claude-instant": True,
    "claude-2": True,
    "claude-3": True,
    "claude-opus-4": True,
    "claude-sonnet-4": True,
    "claude-haiku-4": True,
    "claude-sonnet-5": True,
    "claude-sonnet-5-5": False,
    "claude-haiku-5": True,
}
"""Models that decline nothing before they answer, and refuse a request that names `fallbacks`:
https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback."""
_FALLBACKS_BETA = "server-side-fallback-2026-07-01"
_OWN = {
    "compaction",
    "container",
    "context_management",
    "fallbacks",
    "max_tokens",
    "messages",
    "model",
    "output_config.effort",
    "output_config.format",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
}
"""Fields of a body that are made here, of what a turn needs and of settings."""


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
"""As the SDK encodes."""


def own_field(more: Mapping[str, Any]) -> str | None:
    """A field that the operator may not add to each body, as a path; None: there is none."""
    paths = list(more)
    for name in ("output_config", "metadata"):
        if name in more and not isinstance(more[name], dict):
            return name
        paths += [f"{name}.{inner}" for inner in more.get(name, ())]
    return next((path for path in paths if path in _OWN), None)


class RequestForm:
    """Makes the keywords of `messages.create` of requests, with what the operator says of all."""

    def __init__(
        self,
        *,
        cache_ttl: CacheTtl = "5m",
        model_options: Mapping[str, ModelOptions] | None = None,
        context_edits: Sequence[ContextEdit] = (),
        skills: Iterable[str] = (),
        effort: Effort | None = None,
        service_tier: ServiceTier | None = None,
        betas: Sequence[str] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`skills`: names of those in the container, where a request offers to execute code;
        `effort`: where nothing else is said of a model; `more`: fields of every body, none of
        those that `own_field` names."""
        self._mark = cache_control(cache_ttl)
        self._model_options = model_options or {}
        self._context_edits = list(context_edits)
        self._skills = [skill(name) for name in skills]
        self._effort = effort
        self._service_tier = service_tier
        self._betas = betas
        self._more = dict(more or {})
        # These have fields of ours, too.
        self._output_config = self._more.pop("output_config", {})
        self._metadata = self._more.pop("metadata", {})

    def context_of(self, model: str, *, is_own: bool) -> Context:
        """How much the model can take in; see `families.context_of`."""
        return context_of(model, self._model_options, is_own=is_own)

    def parameters(self, request: ModelRequest) -> dict[str, Any]:
        """The request as its model knows it, with its (at most four) cache breakpoints."""
        request = fitted(request, self._model_options, self._effort)
        betas = [*self._betas]
        """What the fields of this request need; each once."""
        body: dict[str, Any] = {**self._more, **_sampling(request)}
        """Fields that `messages.create` has no parameters for, or that the operator has added."""
        parameters: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": with_breakpoints(_citable(request), self._mark),
        }
        if request.system:
            parameters["system"] = [{"type": "text", "text": request.system, **self._mark}]
        if request.tools:
            tools = [versioned(tool, request.model) for tool in request.tools]
            betas += betas_of(tools)
            parameters["tools"] = with_last_marked(tools, self._mark)
            if not request.may_call_tools:
                parameters["tool_choice"] = {"type": "none"}
            elif request.tool_choice is not None:
                parameters["tool_choice"] = request.tool_choice.model_dump(exclude_none=True)
        if request.thinking is not None:
            parameters["thinking"] = request.thinking
        if request.stop_sequences:
            parameters["stop_sequences"] = request.stop_sequences
        if output_config := self._output_config | _output_config(request):
            parameters["output_config"] = output_config
        user = {} if request.user is None else {"user_id": request.user}
        if metadata := self._metadata | user:
            parameters["metadata"] = metadata
        if self._service_tier is not None:
            parameters["service_tier"] = self._service_tier
        if container := self._container(request):
            parameters["container"] = container
        if request.fallbacks and not of_family(_NEVER_DECLINES, request.model):
            models = request.fallbacks
            body["fallbacks"] = models if models == "default" else [{"model": m} for m in models]
            betas.append(_FALLBACKS_BETA)
        add_context_management(
            request,
            kind=compaction_of(request.model, self._model_options),
            edits=self._context_edits,
            betas=betas,
            body=body,
        )
        if request.compacts:
            parameters = without_reply_options(parameters)
        if body:
            parameters["extra_body"] = body
        if betas:
            parameters["extra_headers"] = {_BETA_HEADER: ",".join(dict.fromkeys(betas))}
        return parameters

    def body(self, request: ModelRequest) -> tuple[bytes, dict[str, str]]:
        """The request as `messages.create` would send it, and the headers that it needs besides.

        What its messages are in JSON is not worked out again.
        """
        parameters = self.parameters(request)
        headers, more = parameters.pop("extra_headers", {}), parameters.pop("extra_body", {})
        messages = b",".join([json_of(m) or _encode(m) for m in parameters.pop("messages")])
        fields = {**parameters, "stream": True, **more}
        # Behind the other fields, of which there always are some: their `}` comes last.
        return b'%b,"messages":[%b]}' % (_encode(fields)[:-1], messages), headers

    def _container(self, request: ModelRequest) -> str | dict[str, Any] | None:
        if not self._skills or not any(runs_code(tool) for tool in request.tools):
            return request.container
        id = {} if request.container is None else {"id": request.container}
        return {**id, "skills": self._skills}


def _encode(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


def _sampling(request: ModelRequest) -> dict[str, Any]:
    # The models that take these take one of the first two.
    if request.temperature is not None:
        chosen = {"temperature": request.temperature}
    else:
        chosen = {} if request.top_p is None else {"top_p": request.top_p}
    return chosen if request.top_k is None else {**chosen, "top_k": request.top_k}


def _output_config(request: ModelRequest) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if request.effort is not None:
        config["effort"] = request.effort
    if request.output_schema is not None:
        config["format"] = {"type": "json_schema", "schema": request.output_schema}
    return config


def _citable(request: ModelRequest) -> list[ApiMessage]:
    """The messages; the API gives no citations in an answer that has a format, and refuses both."""
    if request.output_schema is None:
        return request.messages
    return [
        {"role": message["role"], "content": _uncited(message["content"])}
        if isinstance(message["content"], list)
        else message
        for message in request.messages
    ]


def _uncited(blocks: Iterable[ApiBlock]) -> list[ApiBlock]:
    return [
        {name: value for name, value in block.items() if name != "citations"}
        if block["type"] == "document"
        else block
        for block in blocks
    ]
