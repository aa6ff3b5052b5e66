"""What processes that share a store tell each other: what is new, who reads, what is to be done.

All of it is carried by the store itself. Nothing is lost with it but time: rows and claims are in
the log, whoever asks repeats, and what nobody was told of is found by looking.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from turnwire_server.errors import StoreError

__all__ = ["LocalNodes", "News", "Nodes", "Watcher"]


@dataclass(slots=True, frozen=True)
class Watcher:
    """What a process does when it is told something. Called on its event loop."""

    on_rows: Callable[[Iterable[str]], None]
    """These conversations may have more than was read of them."""
    on_readers: Callable[[Iterable[str]], None]
    """Other nodes have begun to read these conversations, or read them no more."""
    on_lost: Callable[[], None]
    """This node was declared dead, or may be soon: it holds nothing any more."""
    on_failover: Callable[[], None]
    """The store may lack what was committed to it last."""
    on_errand: Callable[[str], Awaitable[str]]
    """Do what another node asks, and answer; must not raise."""


class News(NamedTuple):
    """What a node finds of a conversation that others append to."""

    epoch: str
    holder: str | None
    """See `Head.holder`."""
    bodies: list[bytes]
    """The batches that hold anything behind the cursor, in order; of many only the first."""
    is_whole: bool
    """Whether there is nothing behind these."""


class Nodes(Protocol):
    """The other processes. A node is known by an opaque name, as `Claim.holder` says it."""

    @property
    def silent_since(self) -> str | None:
        """Since when (RFC 3339, UTC) this node holds nothing, for it cannot tell the others that it
        lives; None: it can."""

    async def start(self, watcher: Watcher, alike: Mapping[str, str]) -> None:
        """Listen to the others; after the store's `open`.

        `alike` is what all should have alike, by name; what another node has otherwise is said in
        the program's log. Secrets may be in it, which the store does not keep.
        """

    async def close(self) -> None:
        """Listen no more; before the store's `close`."""

    async def ask(self, holder: str, errand: str) -> str:
        """The answer of that node.

        Raises:
            StoreError: there is none; what was asked may have been done.
        """

    async def attend(self, conversation: str) -> None:
        """This node has readers of it: from now on it is told of rows, whoever appends them."""

    def leave(self, conversation: str) -> None:
        """It has none any more."""

    async def readers(self, conversation: str) -> list[str]:
        """The other nodes that have readers of it.

        Raises:
            StoreError: the store cannot be read.
        """

    def wake(self, node: str, conversation: str) -> None:
        """Tell that node that there is more of the conversation; after the commit, and soon."""

    async def news(self, cursors: Mapping[str, int]) -> dict[str, News]:
        """What of these conversations is behind these seqs; one that is missing is gone.

        All in one read: a node is woken for as many conversations as one commit has.

        Raises:
            StoreError: the store cannot be read.
        """


class LocalNodes:
    """`Nodes` of a store that belongs to one process: nobody else is there."""

    silent_since = None

    async def start(self, watcher: Watcher, alike: Mapping[str, str]) -> None:
        """Nobody says anything."""

    async def close(self) -> None:
        """Nothing to do."""

    async def ask(self, holder: str, errand: str) -> str:
        """See `Nodes.ask`."""
        raise StoreError(f"there is no node {holder}")

    async def attend(self, conversation: str) -> None:
        """Nobody else appends."""

    def leave(self, conversation: str) -> None:
        """Nobody else appends."""

    async def readers(self, conversation: str) -> list[str]:
        """See `Nodes.readers`."""
        return []

    def wake(self, node: str, conversation: str) -> None:
        """Nobody is there."""

    async def news(self, cursors: Mapping[str, int]) -> dict[str, News]:
        """Nobody else appends."""
        return {}
