"""What stands before nodes: each connection goes to the next of them that takes it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

__all__ = ["balanced"]


@asynccontextmanager
async def balanced(addresses: Sequence[str]) -> AsyncIterator[str]:
    """One URL for all of them. It knows of a node only whether it listens."""
    upstreams = [(host, int(port)) for host, _, port in (one.partition(":") for one in addresses)]
    relays: set[asyncio.Task[None]] = set()
    turn = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        turn += 1
        try:
            for offset in range(len(upstreams)):
                host, port = upstreams[(turn + offset) % len(upstreams)]
                try:
                    ends = await asyncio.open_connection(host, port)
                except OSError:
                    continue
                # Whoever hangs up first ends both: a killed node's clients must see it at once.
                passing = [
                    asyncio.ensure_future(_pass(reader, ends[1])),
                    asyncio.ensure_future(_pass(ends[0], writer)),
                ]
                try:
                    await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for one in passing:
                        one.cancel()
                    await asyncio.gather(*passing, return_exceptions=True)
                    ends[1].close()
                return
        finally:
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(relay(reader, writer))
        relays.add(task)
        task.add_done_callback(relays.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
