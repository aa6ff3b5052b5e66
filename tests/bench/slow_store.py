"""A service whose every commit takes so many milliseconds more: `python -m tests.bench.slow_store`.

`COMMIT_MILLISECONDS` says how many. The disk is a simulated one: the loop is free meanwhile, as it
is while the store's thread waits for a real one.
"""

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.servers import LIMITS
from turnwire_server import Turnwire, create_app
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.heap import spare_the_collector
from turnwire_server.listener import bind, server_for
from turnwire_server.store.port import Batch
from turnwire_server.store.sqlite import SqliteStore


class SlowStore(SqliteStore):
    """A file on a disk that takes its time to sync."""

    def __init__(self, path: Path, *, seconds: float) -> None:
        super().__init__(path)
        self._seconds = seconds

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`."""
        await asyncio.sleep(self._seconds)
        await super().append(batches)


async def main() -> None:
    """Serve on a free port, say on which, and run until killed."""
    with TemporaryDirectory() as folder:
        seconds = float(os.environ["COMMIT_MILLISECONDS"]) / 1000
        store = SlowStore(Path(folder) / "bench.db", seconds=seconds)
        limits = ServiceLimits.model_validate(LIMITS)
        turnwire = Turnwire(store=store, limits=limits)
        listener = bind("127.0.0.1", 0)
        server = server_for(create_app(turnwire), limits=limits, grace_seconds=0)
        spare_the_collector()
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main())
