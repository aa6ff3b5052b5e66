"""A store in memory that several nodes share, each a core of this process: who holds what is told,
and a node can be declared dead."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from turnwire_server.errors import Fenced
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch, Claim, Fence, Head

__all__ = ["SharedStore"]


class SharedStore(MemoryStore):
    """The store as the node `name` sees it; `beside` is another node's view of the same."""

    is_shared = True

    def __init__(self, name: str, beside: "SharedStore | None" = None) -> None:
        super().__init__()
        self.name = name
        self.before_append: Callable[[], Awaitable[None]] | None = None
        """Called once, before the next append."""
        self._holders: dict[str, str] = {}
        self._dead: set[str] = set()
        if beside is not None:
            self._logs, self._spent, self.blobs = beside._logs, beside._spent, beside.blobs
            self._holders, self._dead = beside._holders, beside._dead

    def declare_dead(self) -> None:
        """Whatever this node held is free; it never writes again."""
        self._dead.add(self.name)

    def holder(self, conversation: str) -> str | None:
        """The living node that may append to it."""
        name = self._holders.get(conversation)
        return None if name in self._dead else name

    async def claim(
        self, conversation: str, owner: str, epoch: str, *, is_new: bool = False
    ) -> Claim:
        """See `Store.claim`."""
        claim = await super().claim(conversation, owner, epoch, is_new=is_new)
        holder = self.holder(conversation)
        if holder not in (None, self.name):
            return Claim(None, holder=holder, head=claim.head, is_open=claim.is_open)
        assert claim.fence is not None
        self._holders[conversation] = self.name
        return claim._replace(fence=replace(claim.fence, node=self.name))

    async def release(self, fence: Fence) -> None:
        """See `Store.release`."""
        if self._holders.get(fence.conversation) == fence.node:
            del self._holders[fence.conversation]

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`."""
        if self.before_append is not None:
            before, self.before_append = self.before_append, None
            await before()
        for batch in batches:
            if self.holder(batch.fence.conversation) != batch.fence.node:
                raise Fenced(f"{batch.fence.conversation} is not held by {self.name}")
        await super().append(batches)
        for batch in batches:
            if batch.releases:
                await self.release(batch.fence)

    async def head(self, conversation: str) -> Head | None:
        """See `Store.head`."""
        head = await super().head(conversation)
        holder = self.holder(conversation)
        return head and replace(head, holder=None if holder == self.name else holder)

    async def orphans(self) -> list[Head]:
        """See `Store.orphans`."""
        return [one for one in await super().orphans() if self.holder(one.conversation) is None]
