"""One response of the API: its parts as they come, and what is left of it after their end.

A connection is used again only if the body on it was read to its end, which often comes a packet
later than the message's end. No turn waits for that, but if nobody did, each request would begin
with a new connection: two round trips and a handshake before anything is said.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import anthropic
import httpx2
from anthropic import AsyncStream
from anthropic.types import RawMessageStreamEvent
from pydantic import BaseModel

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.aws_events import AWS_EVENT_STREAM, AwsEventSplitter
from turnwire_server.model.decoder import Decoder
from turnwire_server.model.errors import Malformed, TooLarge, cut_off, malformed, too_large
from turnwire_server.model.pace import Pace
from turnwire_server.model.port import Part
from turnwire_server.model.reader import EventSplitter, Reader
from turnwire_server.model.stall import Stall

__all__ = ["Response"]

_FAILURES = (anthropic.AnthropicError, httpx2.HTTPError, OSError, ValueError, ModelError)
_REST_SECONDS = 1.0
_REST_BYTES = 64 * 1024
"""What comes after the message's end, at most: there is nothing in it for anybody."""
_FORGOTTEN = httpx2.Request("POST", "https://request.invalid")
"""Stands for a request once its response has come."""


class Response:
    """Reads `stream`, which is open.

    `is_raw`: from its bytes, a tenth of what the SDK's types cost. `end_seconds`: how long its end
    may take, once the model has said why it stops. `judge` makes the error of an error's body
    within it, `classify` that of a failure to read.
    """

    def __init__(
        self,
        stream: AsyncStream[RawMessageStreamEvent],
        *,
        decoder: Decoder,
        is_raw: bool,
        pace: Pace | None,
        end_seconds: float,
        judge: Callable[[object, Code], ModelError],
        classify: Callable[[Exception], ModelError],
    ) -> None:
        self._response = stream.response
        self._decoder = decoder
        self._pace = pace
        self._end_seconds = end_seconds
        self._classify = classify
        self._reader = Reader(judge, splitter=_splitter_of(stream.response))
        self._stream = None if is_raw else stream
        self._chunks = _chunks_of(stream.response) if is_raw else None
        if is_raw:
            # With the stream, which is let go of: both hold the body, which is the conversation.
            stream.response.request = _FORGOTTEN

    @property
    def is_whole(self) -> bool:
        """Whether the message has come to its end: what follows belongs to no answer."""
        return self._decoder.stopped

    async def parts(self, stall: Stall) -> AsyncGenerator[list[Part], None]:
        """What each read tells, in order. `stall` hears of each. To be closed.

        Raises:
            ModelError: it failed, or is not whole.
        """
        decoder = self._decoder
        failure: Exception | None = None
        async with aclosing(self._events()) as events:
            while failure is None and not decoder.stopped:
                parts: list[Part] = []
                try:
                    if decoder.reason is None:
                        some = await anext(events)
                    else:
                        # Nothing can follow but the end, which some servers never send.
                        async with asyncio.timeout(self._end_seconds):
                            some = await anext(events)
                    stall.sign()
                    for event in some:
                        parts += decoder.feed(event)
                except StopAsyncIteration:
                    break
                except _FAILURES as error:
                    failure = error
                # What came before a failure was said all the same.
                if parts:
                    yield parts
        # Once the model has said why it stops, the answer is whole, however the response ends.
        if last := decoder.finish():
            yield last
        if decoder.stopped:
            return
        if failure is None:
            raise self._reader.explanation() or cut_off()
        if isinstance(failure, Malformed):
            failed = too_large() if isinstance(failure, TooLarge) else None
            raise failed or malformed(after_text=decoder.spoken) from failure
        raise self._classify(failure) from failure

    async def close(self) -> None:
        """Read no more: with what is left unread, the connection is closed."""
        await self._response.aclose()

    async def read_out(self) -> None:
        """Read what is left of one that is whole, if it comes soon, and close it."""
        try:
            async with asyncio.timeout(_REST_SECONDS):
                left = _REST_BYTES
                while left > 0 and self._chunks is not None:
                    left -= len(await anext(self._chunks))
        except (StopAsyncIteration, TimeoutError, *_FAILURES):
            pass
        finally:
            await self.close()

    async def _events(self) -> AsyncGenerator[list[dict[str, Any]], None]:
        """The events of each read."""
        if self._stream is not None:
            async for event in self._stream:
                # The SDK does not check what the stream parses to: it may be any JSON value.
                if isinstance(event, BaseModel):
                    yield [event.to_dict(warnings=False)]
        if self._chunks is None:
            return
        reader, pace = self._reader, self._pace
        async for chunk in self._chunks:
            if pace is not None:
                await pace.hold()
            yield reader.feed(chunk)
            if reader.failure is not None:
                raise reader.failure
            if pace is not None:
                await pace.rest()
        yield reader.finish()
        if reader.failure is not None:
            raise reader.failure


def _chunks_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    """What each read brings. Where nothing is compressed, nothing stands between."""
    is_encoded = "content-encoding" in response.headers
    return response.aiter_bytes() if is_encoded else response.aiter_raw()


def _splitter_of(response: httpx2.Response) -> EventSplitter | None:
    """What finds the events in the response; None: they are server-sent ones, as usual."""
    kind = response.headers.get("content-type", "")
    return AwsEventSplitter() if kind.startswith(AWS_EVENT_STREAM) else None
