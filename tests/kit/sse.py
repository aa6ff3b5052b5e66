"""A bare reader of server-sent events for tests: what came, as it came."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic_core import from_json

from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire_protocol import FoldedConversation, fold, parse_event

__all__ = ["Sent", "SseReader", "asking", "listening"]


@dataclass(frozen=True)
class Sent:
    """One server-sent event."""

    type: str
    id: str
    data: dict[str, Any]


class SseReader:
    """One response. Events and comments are kept in the order they came."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.sent: list[Sent] = []
        self.comments = 0
        self._lines = response.aiter_lines()

    async def next(self) -> Sent | None:
        """The next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        async with patience():
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    data = from_json(fields["data"])
                    sent = Sent(fields.get("event", "message"), fields.get("id", ""), data)
                    self.sent.append(sent)
                    return sent
        return None

    async def until(self, type: str) -> Sent:
        """Read until an event of that type."""
        while True:
            sent = await self.next()
            assert sent is not None, f"the stream ended before {type}"
            if sent.type == type:
                return sent

    async def commented(self) -> None:
        """Read until a comment; no event comes before it."""
        async with patience():
            async for line in self._lines:
                if line.startswith(":"):
                    return
                assert not line, line

    async def rest(self) -> list[Sent]:
        """Read to the end; everything that came from the start."""
        while await self.next() is not None:
            pass
        return self.sent

    def fold(self) -> FoldedConversation:
        """What this reader has seen."""
        return fold(parse_event(sent.data) for sent in self.sent if "seq" in sent.data)


@asynccontextmanager
async def asking(address: str, **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of the service. It reads no certificates: that costs more than most tests."""
    async with httpx2.AsyncClient(
        base_url=f"http://{address}",
        timeout=PATIENCE_SECONDS,
        trust_env=False,
        verify=False,
        **options,
    ) as client:
        yield client


@asynccontextmanager
async def listening(
    address: str, path: str, *, method: str = "GET", **options: Any
) -> AsyncIterator[SseReader]:
    """A stream that has begun: its status and headers are there."""
    async with asking(address) as client, client.stream(method, path, **options) as response:
        yield SseReader(response)
