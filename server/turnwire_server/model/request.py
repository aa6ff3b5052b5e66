"""What a call of the API is given: a request in the form its model knows. Pure; knows no SDK.

Fields that the SDK's `messages.create` has as parameters go by name; those of betas, and those its
types have let go of, go by `extra_body`, and the names of betas by a header.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
from turnwire_server.model.families import ModelOptions, compaction_of, fitted
from turnwire_server.model.port import ModelRequest
from turnwire_server.model.server_tools import betas_of, runs_code, skill, versioned

__all__ = ["RequestForm"]

_BETA_HEADER = "anthropic-beta"
_NEVER_DECLINES = re.compile(
    r"claude-(?:instant|[23]\b|(?:opus|sonnet|haiku)-4\b|sonnet-5(?!-5)\b|haiku-5)"
)
"""Models that decline nothing before they answer, and refuse a request that names `fallbacks`:
https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback."""
_FALLBACKS_BETA = "server-side-fallback-2026-07-01"


class RequestForm:
    """Makes the keywords of `messages.create` of requests, with what the operator says of all."""

    def __init__(
        self,
        *,
        cache_ttl: CacheTtl = "5m",
        model_options: Mapping[str, ModelOptions] | None = None,
        context_edits: Sequence[ContextEdit] = (),
        skills: Iterable[str] = (),
    ) -> None:
        """`skills`: names of those in the container, where a request offers to execute code."""
        self._mark = cache_control(cache_ttl)
        self._model_options = model_options or {}
        self._context_edits = list(context_edits)
        self._skills = [skill(name) for name in skills]

    def parameters(self, request: ModelRequest) -> dict[str, Any]:
        """The request as its model knows it, with its (at most four) cache breakpoints."""
        request = fitted(request, self._model_options)
        betas: list[str] = []
        """What the fields of this request need; each once."""
        body: dict[str, Any] = {}
        """Fields that `messages.create` has no parameters for."""
        parameters: dict[str, Any] = {
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": with_breakpoints(request.messages, self._mark),
        }
        if request.system:
            parameters["system"] = [{"type": "text", "text": request.system, **self._mark}]
        if request.tools:
            tools = [versioned(tool, request.model) for tool in request.tools]
            betas += betas_of(tools)
            parameters["tools"] = with_last_marked(tools, self._mark)
            if not request.may_call_tools:
                parameters["tool_choice"] = {"type": "none"}
        if request.thinking is not None:
            parameters["thinking"] = request.thinking
        if request.effort is not None:
            parameters["output_config"] = {"effort": request.effort}
        if container := self._container(request):
            parameters["container"] = container
        if request.fallbacks and not _NEVER_DECLINES.match(request.model):
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

    def _container(self, request: ModelRequest) -> str | dict[str, Any] | None:
        if not self._skills or not any(runs_code(tool) for tool in request.tools):
            return request.container
        id = {} if request.container is None else {"id": request.container}
        return {**id, "skills": self._skills}
