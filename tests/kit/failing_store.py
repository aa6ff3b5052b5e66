"""A store whose commits fail as long as a test says so."""

from turnwire_server.errors import StoreError
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch

__all__ = ["FailingStore"]


class FailingStore(MemoryStore):
    """Takes nothing while it fails."""

    fails = False

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`."""
        if self.fails:
            raise StoreError("the disk is full")
        await super().append(batches)
