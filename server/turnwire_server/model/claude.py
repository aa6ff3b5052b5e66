"""Claude, through a client of the Anthropic SDK; knows no turn and no log, and not where it runs.

The SDK's own retries are off: every attempt is visible in the log. Streaming events:
https://docs.claude.com/en/docs/build-with-claude/streaming.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx2
from anthropic import (
    APIRequest,
    AsyncAnthropic,
    AsyncAPIResponse,
    AsyncCallNext,
    AsyncStream,
    beta_async_tool,
    beta_tool,
)
from anthropic.types import Message, RawMessageStreamEvent

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.clients import Client, checked, client_of, gathers, provider_name
from turnwire_server.model.decoder import Decoder
from turnwire_server.model.errors import judge, malformed, unreachable
from turnwire_server.model.files import open_file
from turnwire_server.model.late import API_HOST
from turnwire_server.model.pace import Pace
from turnwire_server.model.port import Context, ModelRequest, Part, ProviderFile
from turnwire_server.model.refusal import body_of
from turnwire_server.model.request import RequestForm
from turnwire_server.model.response import Response
from turnwire_server.model.stall import Stall
from turnwire_server.model.words import request_id_of, words_of
from turnwire_server.telemetry.upstream import Upstream

__all__ = ["Claude", "derive_tool"]

_END_SECONDS = 2.0
"""How long the end of an answer may take, at most, once it has told why it stops."""

_SECRETS = ("api_key", "auth_token", "access_token", "aws_secret_key", "aws_session_token")
"""The attributes of the SDK's clients that hold what nobody may read."""


class Claude:
    """`Model` over an SDK client, which it closes; None makes one from the SDK's environment.

    Responses are decoded from their bytes (`raw`) where the client is one of the SDK's own, whose
    framings are known; by the SDK's types otherwise. `stall_timeout_seconds`: an attempt fails when
    nothing at all comes for so long. `expose_errors`: what the provider says of a failure is in the
    message of the error, for clients; otherwise a text of our own is. `headers` gives
    what the next request carries besides.

    Raises:
        TypeError: the client is not async.
        SettingsError: there is none, and the environment does not say how to make one.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        stall_timeout_seconds: float = 60.0,
        form: RequestForm | None = None,
        expose_errors: bool = False,
        raw: bool | None = None,
        headers: Callable[[], dict[str, str]] = dict,
    ) -> None:
        # The client's own limit on reading would start a timer for every token.
        timeout = httpx2.Timeout(None, connect=10.0)
        client = client_of() if client is None else checked(client)
        self._is_raw = isinstance(client, Client) if raw is None else raw
        self._pace = Pace() if gathers(client) else None
        # Those of Bedrock and Vertex look into the body; one that an app made may have middleware
        # which does.
        self._is_own = gathers(client) and isinstance(client, AsyncAnthropic)
        client = client.with_options(
            max_retries=0,
            timeout=timeout,
            open_telemetry=False,  # Its spans would tell of the same calls, and of less.
        )
        self._client = client.with_middleware(self._refuse)
        self._stall_timeout_seconds = stall_timeout_seconds
        self._end_seconds = min(_END_SECONDS, stall_timeout_seconds / 2)
        self._form = form or RequestForm()
        self._expose_errors = expose_errors
        self._headers = headers
        self._rests: set[asyncio.Task[None]] = set()
        """Those that read what is left of responses."""

    has_failed = False
    """See `LateClaude`."""

    @property
    def upstream(self) -> Upstream:
        """Where it is, for those who watch."""
        url = self._client.base_url
        port = url.port or (80 if url.scheme == "http" else 443)
        return Upstream(provider=provider_name(self._client), host=url.host, port=port)

    @property
    def has_list_prices(self) -> bool:
        """Whether it is the Claude API itself that is asked, which bills by its list."""
        return self._client.base_url.host == API_HOST

    def begin_to_load(self) -> None:
        """It is all there; see `LateClaude`."""

    async def load(self) -> None:
        """The same."""

    async def close(self) -> None:
        """Let go of connections."""
        for rest in self._rests:
            rest.cancel()
        await asyncio.gather(*self._rests, return_exceptions=True)
        await self._client.close()

    def context(self, model: str) -> Context:
        """See `Model.context`."""
        return self._form.context_of(model, is_own=self.has_list_prices)

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[list[Part]]]:
        """See `Model.stream`."""
        try:
            async with Stall(self._stall_timeout_seconds) as stall:
                response = self._read(await self._create(request), request)
                parts = response.parts(stall)
                try:
                    with nullcontext() if self._pace is None else self._pace.stream():
                        yield parts
                finally:
                    await parts.aclose()
                    if response.is_whole:
                        rest = asyncio.create_task(response.read_out(), name="rest of a response")
                        self._rests.add(rest)
                        rest.add_done_callback(self._rests.discard)
                    else:
                        await response.close()
        except TimeoutError as error:
            raise unreachable(timed_out=True) from error

    async def open_file(self, id: str, *, max_bytes: int) -> ProviderFile:
        """See `Model.open_file`."""
        return await open_file(
            self._client,
            id,
            max_bytes=max_bytes,
            stall_timeout_seconds=self._stall_timeout_seconds,
            classify=self._classify,
        )

    def _read(self, stream: AsyncStream[RawMessageStreamEvent], request: ModelRequest) -> Response:
        response = stream.response
        return Response(
            stream,
            decoder=Decoder(
                model=request.model if request.fallbacks else None,
                request_id=request_id_of(response.headers, secrets=self._secrets()),
            ),
            is_raw=self._is_raw,
            pace=self._pace,
            end_seconds=self._end_seconds,
            judge=lambda body, code: self._judge(response, body, code),
            classify=self._classify,
        )

    async def _create(self, request: ModelRequest) -> AsyncStream[RawMessageStreamEvent]:
        try:
            stream = await (self._post(request) if self._is_own else self._call(request))
        except (anthropic.AnthropicError, httpx2.HTTPError, OSError) as error:
            raise self._classify(error) from error
        except TypeError as error:
            # The SDK has no class of its own for this.
            if "authentication" not in str(error):
                raise
            raise ModelError(Code.AUTH_ERROR, "there is no API key or token") from error
        return stream

    async def _post(self, request: ModelRequest) -> AsyncStream[RawMessageStreamEvent]:
        """The call, of bytes: what messages are is not copied and encoded anew for each."""
        body, headers = self._form.body(request)
        return await self._client.post(
            "/v1/messages",
            cast_to=Message,
            content=body,
            options={"headers": {**headers, **self._headers()}},
            stream=True,
            stream_cls=AsyncStream[RawMessageStreamEvent],
        )

    async def _call(self, request: ModelRequest) -> AsyncStream[RawMessageStreamEvent]:
        """The call as apps make it, whose fields the client's own code may read and change."""
        parameters = self._form.parameters(request)
        if headers := self._headers():
            parameters["extra_headers"] = {**parameters.get("extra_headers", {}), **headers}
        stream: AsyncStream[RawMessageStreamEvent] = await self._client.messages.create(
            stream=True, **parameters
        )
        return stream

    async def _refuse(self, call: APIRequest, call_next: AsyncCallNext) -> AsyncAPIResponse[Any]:
        """Read errors before the SDK does, which would read them whole."""
        response = await call_next(call)
        if not response.http_response.is_success:
            raise self._judge(response.http_response, await body_of(response.http_response))
        return response

    def _classify(self, error: Exception) -> ModelError:
        if isinstance(error, ModelError):
            return error
        if isinstance(error, anthropic.APIStatusError):
            return self._judge(error.response, error.body)
        if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException | TimeoutError):
            return unreachable(timed_out=True)
        if isinstance(error, anthropic.APIConnectionError | httpx2.HTTPError | OSError):
            return unreachable(timed_out=False)
        if isinstance(error, ValueError):
            return malformed(after_text=True)
        # What the SDK finds wrong by itself, before anything is sent.
        words = words_of(str(error), status=None, secrets=self._secrets())
        return judge(words, expose=self._expose_errors, now=datetime.now(UTC))

    def _judge(
        self, response: httpx2.Response, body: object, otherwise: Code = Code.INTERNAL
    ) -> ModelError:
        headers = response.headers
        words = words_of(
            body, status=response.status_code, headers=headers, secrets=self._secrets()
        )
        return judge(
            words,
            headers=headers,
            expose=self._expose_errors,
            now=datetime.now(UTC),
            otherwise=otherwise,
        )

    def _secrets(self) -> list[str]:
        """What must not be repeated, whatever it looks like."""
        own = (getattr(self._client, name, None) for name in _SECRETS)
        return [secret for secret in own if isinstance(secret, str) and secret]


def derive_tool(function: Callable[..., Any], *, name: str | None, description: str | None) -> Any:
    """The SDK's tool of a function: schema from its types, descriptions from its docstring."""
    derive = beta_async_tool if inspect.iscoroutinefunction(function) else beta_tool
    return derive(function, name=name, description=description)
