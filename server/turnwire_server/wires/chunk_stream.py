"""Server-sent events of another front end's making: lines of JSON, as its translator gives them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT
from pydantic_core import to_json

from turnwire_server.transports.event_response import EventResponse

__all__ = ["Chunk", "ChunkStream"]

Chunk = dict[str, Any]
"""One of another format's events, which becomes JSON."""


class ChunkStream(EventResponse):
    """A `data:` line of JSON for each chunk, and a comment for each group without any.

    `last` is what closes the stream when the groups have ended.
    """

    def __init__(
        self,
        groups: AsyncIterator[Sequence[Chunk]],
        leaving: ExitStack,
        *,
        headers: Mapping[str, str] | None = None,
        last: bytes = b"",
    ) -> None:
        super().__init__(_encoded(groups, last), leaving, headers=headers)


async def _encoded(groups: AsyncIterator[Sequence[Chunk]], last: bytes) -> AsyncIterator[bytes]:
    async for group in groups:
        if group:
            yield b"".join([b"data: %b\n\n" % to_json(chunk) for chunk in group])
        else:
            yield KEEPALIVE_COMMENT
    if last:
        yield last
