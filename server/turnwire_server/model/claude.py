"""Claude, through the Anthropic SDK. The one module that imports it; knows no turn and no log.

The SDK's own retries are off: every attempt is visible in the log. Streaming events:
https://docs.claude.com/en/docs/build-with-claude/streaming, errors: .../en/api/errors.
"""

import inspect
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Literal

import anthropic
import httpx2
from anthropic import AsyncAnthropic, AsyncStream, DefaultAioHttpClient, beta_async_tool, beta_tool
from anthropic.types import RawMessageStreamEvent
from pydantic import BaseModel
from pydantic_core import from_json

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.decoder import Decoder
from turnwire_server.model.pace import Pace
from turnwire_server.model.port import ApiMessage, ModelRequest, Part
from turnwire_server.model.sse import Splitter
from turnwire_server.model.stall import Stall

__all__ = ["Claude", "Client", "classify", "connect", "derive_tool", "has_credentials"]

Client = AsyncAnthropic

_CODES = {
    "authentication_error": Code.AUTH_ERROR,
    "billing_error": Code.PERMISSION_DENIED,
    "permission_error": Code.PERMISSION_DENIED,
    "not_found_error": Code.NOT_FOUND,
    "request_too_large": Code.CONTEXT_TOO_LONG,
    "rate_limit_error": Code.RATE_LIMIT,
    "overloaded_error": Code.OVERLOADED,
    "timeout_error": Code.TIMEOUT,
    "invalid_request_error": Code.INVALID_REQUEST,
    "api_error": Code.INTERNAL,
}
"""The API's error types; they also come in an `error` event inside a 200 response."""

_STATUSES = {
    401: Code.AUTH_ERROR,
    402: Code.PERMISSION_DENIED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    408: Code.TIMEOUT,
    413: Code.CONTEXT_TOO_LONG,
    429: Code.RATE_LIMIT,
    504: Code.TIMEOUT,
    529: Code.OVERLOADED,
}

_CACHE = {"cache_control": {"type": "ephemeral"}}


def has_credentials() -> bool:
    """Whether the SDK finds a key or token in its `ANTHROPIC_*` environment or configuration."""
    client = AsyncAnthropic()
    return any((client.api_key, client.auth_token, getattr(client, "credentials", None)))


class _GatheringClient(AsyncAnthropic):
    """One whose reads bring all that has come since the last; the SDK's default brings a chunk."""

    def __init__(self, **options: Any) -> None:
        if "http_client" not in options:  # The SDK copies clients with theirs.
            # 0 is aiohttp's "no limit"; with None its own of 100 answers at once would apply.
            limits = httpx2.Limits(max_connections=0)
            options["http_client"] = DefaultAioHttpClient(limits=limits)
        super().__init__(**options)


def connect(base_url: str, api_key: str) -> Client:
    """An SDK client for a server of the Messages API at `base_url`."""
    return _GatheringClient(base_url=base_url, api_key=api_key)


class Claude:
    """`Model` over an SDK client, which it closes; None makes one from the SDK's environment.

    Responses are decoded from their bytes (`raw`) where the client is the API's own, whose framing
    is known; by the SDK's types otherwise. `stall_timeout_seconds`: an attempt fails when nothing
    at all comes for so long.
    """

    def __init__(
        self,
        client: AsyncAnthropic | None = None,
        *,
        stall_timeout_seconds: float = 60.0,
        raw: bool | None = None,
    ) -> None:
        # The client's own limit on reading would start a timer for every token.
        timeout = httpx2.Timeout(None, connect=10.0)
        client = client or _GatheringClient()
        self._is_raw = isinstance(client, AsyncAnthropic) if raw is None else raw
        self._client = client.with_options(max_retries=0, timeout=timeout)
        self._stall_timeout_seconds = stall_timeout_seconds
        self._pace = Pace() if isinstance(client, _GatheringClient) else None

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[list[Part]]]:
        """See `Model.stream`."""
        try:
            async with Stall(self._stall_timeout_seconds) as stall:
                stream = await self._create(request)
                try:
                    with nullcontext() if self._pace is None else self._pace.stream():
                        events = _raw(stream, self._pace) if self._is_raw else _typed(stream)
                        yield _parts(events, stall)
                finally:
                    await stream.close()
        except TimeoutError as error:
            raise classify(error) from error

    async def _create(self, request: ModelRequest) -> AsyncStream[RawMessageStreamEvent]:
        try:
            stream: AsyncStream[RawMessageStreamEvent] = await self._client.messages.create(
                stream=True, **_parameters(request)
            )
        except (anthropic.AnthropicError, httpx2.HTTPError, OSError) as error:
            raise classify(error) from error
        except TypeError as error:
            # The SDK has no class of its own for this.
            if "authentication" not in str(error):
                raise
            raise ModelError(Code.AUTH_ERROR, "there is no API key or token") from error
        return stream


async def _parts(
    stream: AsyncIterator[list[dict[str, Any]]], stall: Stall
) -> AsyncIterator[list[Part]]:
    decoder = Decoder()
    try:
        async for events in stream:
            stall.sign()
            parts: list[Part] = []
            try:
                for event in events:
                    parts += decoder.feed(event)
            except ModelError:
                # As in `_raw`.
                yield parts
                raise
            if parts:
                yield parts
    except (anthropic.AnthropicError, httpx2.HTTPError, OSError, ValueError) as error:
        raise classify(error) from error
    if not decoder.stopped:
        raise ModelError(Code.NETWORK_ERROR, "the model's answer ended before its end")


async def _raw(
    stream: AsyncStream[RawMessageStreamEvent], pace: Pace | None
) -> AsyncIterator[list[dict[str, Any]]]:
    """The events of each read, straight from its bytes: a tenth of what the SDK's types cost."""
    splitter = Splitter()
    async for chunk in stream.response.aiter_bytes():
        events: list[dict[str, Any]] = []
        try:
            for data in splitter.feed(chunk):
                event = _object(from_json(data))
                if event.get("type") == "error":
                    raise _judged(*_said(event), status=stream.response.status_code)
                events.append(event)
        except (ModelError, ValueError):
            # What came before it was said all the same.
            yield events
            raise
        yield events
        if pace is not None:
            await pace.tick()


async def _typed(
    stream: AsyncStream[RawMessageStreamEvent],
) -> AsyncIterator[list[dict[str, Any]]]:
    """The SDK's own decoding, for clients whose framing is their own (Bedrock)."""
    async for event in stream:
        # What the stream parses to is not checked by the SDK: an event may be any JSON value.
        yield [event.to_dict(warnings=False) if isinstance(event, BaseModel) else {}]


def _object(value: Any) -> dict[str, Any]:
    # What is no object has no type, and is malformed to the decoder.
    return value if isinstance(value, dict) else {}


def _parameters(request: ModelRequest) -> dict[str, Any]:
    """The request, with cache breakpoints after tools, system prompt and conversation."""
    parameters: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": _with_breakpoint(request.messages),
    }
    if request.system:
        parameters["system"] = [{"type": "text", "text": request.system, **_CACHE}]
    if request.tools:
        parameters["tools"] = [*request.tools[:-1], {**request.tools[-1], **_CACHE}]
        if not request.may_call_tools:
            parameters["tool_choice"] = {"type": "none"}
    if request.thinking is not None:
        parameters["thinking"] = request.thinking
    if request.container is not None:
        parameters["container"] = request.container
    return parameters


def _with_breakpoint(messages: list[ApiMessage]) -> list[ApiMessage]:
    """A copy whose last block ends what is cached; the next turn finds it, being a prefix of it."""
    last = messages[-1]
    content = last["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if blocks[-1]["type"] in ("thinking", "redacted_thinking"):
        return messages
    marked = [*blocks[:-1], {**blocks[-1], **_CACHE}]
    return [*messages[:-1], {"role": last["role"], "content": marked}]


def classify(error: Exception) -> ModelError:
    """The one table of what a failed attempt means. Messages are the provider's own words."""
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException | TimeoutError):
        return ModelError(Code.TIMEOUT, "the model did not answer in time")
    if isinstance(error, anthropic.APIStatusError):
        kind, message = _said(error.body)
        message = message or f"the model's server answered {error.status_code}"
        retry_after = _retry_after(error)
        return _judged(kind, message, status=error.status_code, retry_after_seconds=retry_after)
    if isinstance(error, anthropic.APIConnectionError | httpx2.HTTPError | OSError):
        return ModelError(Code.NETWORK_ERROR, "the connection to the model failed")
    if isinstance(error, ValueError):
        return ModelError(Code.NETWORK_ERROR, "the model's answer was malformed")
    return ModelError(Code.INTERNAL, str(error))


def _judged(
    kind: str, message: str, *, status: int, retry_after_seconds: float | None = None
) -> ModelError:
    code = _CODES.get(kind) or _STATUSES.get(status)
    if code is None:
        # An `error` event of a type unknown here comes with the stream's status, 200.
        code = Code.INVALID_REQUEST if 400 <= status < 500 else Code.INTERNAL
    if code is Code.INVALID_REQUEST and _is_too_long(message):
        code = Code.CONTEXT_TOO_LONG
    cause: Literal["thinking"] | None = "thinking" if "block is bound to a" in message else None
    return ModelError(code, message, retry_after_seconds=retry_after_seconds, cause=cause)


def _said(body: object) -> tuple[str, str]:
    """Type and message of the API's error object; empty where it is another body."""
    inner = body.get("error") if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        return "", ""
    message = str(inner.get("message", "")).encode(errors="replace").decode()
    return str(inner.get("type", "")), message


def _is_too_long(message: str) -> bool:
    return "too long" in message or "context limit" in message or "context window" in message


def _retry_after(error: anthropic.APIStatusError) -> float | None:
    try:
        seconds = float(error.response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def derive_tool(function: Callable[..., Any], *, name: str | None, description: str | None) -> Any:
    """The SDK's tool of a function: schema from its types, descriptions from its docstring."""
    derive = beta_async_tool if inspect.iscoroutinefunction(function) else beta_tool
    return derive(function, name=name, description=description)
