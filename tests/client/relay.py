"""A TCP relay between client and service, whose connections a test breaks."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["Relay"]


class Relay:
    """Passes bytes on. `cut` breaks what stands; `cut_after` breaks each of the next connections
    after so many bytes from the service."""

    def __init__(self, upstream: str) -> None:
        self._host, port = upstream.split(":")
        self._port = int(port)
        self._cuts: list[int] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.connections = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def cut_after(self, *sizes: int) -> None:
        self._cuts.extend(sizes)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        budget = self._cuts.pop(0) if self._cuts else None
        upstream_reader, upstream_writer = await asyncio.open_connection(self._host, self._port)
        ends = {writer, upstream_writer}
        self._writers |= ends
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, upstream_writer, None))
                tasks.create_task(self._pass(upstream_reader, writer, budget))
        except* (ConnectionError, EOFError):
            pass
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None
    ) -> None:
        while budget is None or budget > 0:
            piece = await reader.read(65536 if budget is None else min(budget, 65536))
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
            budget = None if budget is None else budget - len(piece)
        raise EOFError

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        with suppress(asyncio.CancelledError):
            await self._server.wait_closed()
