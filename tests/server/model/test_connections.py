"""Connections to the model: used again, also where a body's end comes later than the message's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from aiohttp import web
from anthropic import AsyncAnthropic

from tests.kit.patience import patience
from turnwire_server.listener import bind
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import connect
from turnwire_server.model.port import ModelRequest, Part, Stop

REQUEST = ModelRequest(
    model="claude-simulated-opus", messages=[{"role": "user", "content": "Hi"}], max_tokens=1000
)
ANSWER = b"""event: message_start
data: {"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}}

event: message_delta
data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}

event: message_stop
data: {"type": "message_stop"}

"""


class Upstream:
    """Answers every request at once; what follows the message's end is `rest`'s."""

    def __init__(self, rest: Callable[[web.StreamResponse], Awaitable[None]]) -> None:
        self.connections: list[asyncio.BaseTransport] = []
        """That of each request."""
        self.closed = asyncio.Event()
        """Set when a client has gone away before the end."""
        self._rest = rest

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.connections.append(request.transport)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(ANSWER)
        try:
            await self._rest(response)
        except (ConnectionError, asyncio.CancelledError):
            self.closed.set()
            raise
        return response


@asynccontextmanager
async def serving(upstream: Upstream) -> AsyncIterator[Claude]:
    app = web.Application()
    app.router.add_post("/v1/messages", upstream.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    listener = bind("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    model = Claude(connect(f"http://127.0.0.1:{listener.getsockname()[1]}", "test-key"))
    try:
        yield model
    finally:
        await model.close()
        await runner.cleanup()


async def ask(model: Claude) -> list[Part]:
    """As a turn does, which leaves with the message's end."""
    parts: list[Part] = []
    async with model.stream(REQUEST) as stream:
        async for some in stream:
            parts += some
            if isinstance(parts[-1], Stop):
                break
    return parts


async def test_a_connection_whose_body_ends_after_the_message_is_used_again() -> None:
    told: asyncio.Queue[None] = asyncio.Queue()

    async def end_later(response: web.StreamResponse) -> None:
        await told.get()

    upstream = Upstream(end_later)
    async with patience(), serving(upstream) as model:
        # Until one is: nobody says when the rest of a body has been read.
        while len(set(upstream.connections)) == len(upstream.connections):
            await ask(model)
            told.put_nowait(None)


async def never(response: web.StreamResponse) -> None:
    await asyncio.get_running_loop().create_future()


async def for_ever(response: web.StreamResponse) -> None:
    while True:
        await response.write(b": nobody wants this\n\n" * 1000)


@pytest.mark.parametrize("rest", [never, for_ever])
async def test_what_follows_a_message_is_not_waited_for_nor_read_for_long(
    rest: Callable[[web.StreamResponse], Awaitable[None]],
) -> None:
    upstream = Upstream(rest)
    async with patience(), serving(upstream) as model:
        assert isinstance((await ask(model))[-1], Stop)
        await upstream.closed.wait()


class Endless(httpx2.AsyncByteStream):
    """A body that has no end, whether its client is closed or not."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield ANSWER
        await asyncio.get_running_loop().create_future()


def rests() -> int:
    """How many tasks read what is left of a response."""
    return sum(task.get_name() == "rest of a response" for task in asyncio.all_tasks())


async def test_a_model_that_is_closed_leaves_no_rest_behind() -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=Endless())

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(respond))
    model = Claude(AsyncAnthropic(api_key="test-key", http_client=http))
    async with patience():
        await ask(model)
        assert rests() == 1
        await model.close()
        assert rests() == 0
