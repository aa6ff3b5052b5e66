"""A conversation's log together with the two folds that are kept of it.

The index of its turns is always up to date; the history for the model is brought up to date when a
model is to be asked. What a turn writes and asks of the log goes through here.
"""

import asyncio
from collections.abc import Callable

from turnwire_protocol import Event
from turnwire_server.core.history.history import History, Rendered
from turnwire_server.core.history.summary import Older
from turnwire_server.core.log.durable_log import DurableLog
from turnwire_server.core.log.items import DeltaType, Entry, Item, Place, Private
from turnwire_server.core.turn_index import Record, TurnIndex
from turnwire_server.errors import Rejected

__all__ = ["FoldedLog"]


class FoldedLog:
    """The log as turns see it."""

    def __init__(self, log: DurableLog) -> None:
        self.conversation = log.conversation
        self.index = TurnIndex()
        self._log = log
        self._history = History()
        self._history_seq = 0
        """Up to where the history has taken the log in."""

    async def load(self, epoch: str, head: int, take: Callable[[Item], None]) -> bool:
        """See `DurableLog.load`; `take` is given each item, too."""
        self.catch_up()
        return await self._log.load(epoch, head, lambda item: self._fold(item, take))

    def extend(self, bodies: list[bytes], take: Callable[[Item], None]) -> None:
        """See `DurableLog.extend`; `take` is given each item, too."""
        self.catch_up()
        self._log.extend(bodies, lambda item: self._fold(item, take))

    def _fold(self, item: Item, take: Callable[[Item], None]) -> None:
        self.index.apply(item)
        self._history.apply(item)
        take(item)
        self._history_seq = item.last_seq

    # Writing

    def place(self, turn: str) -> Place:
        """See `DurableLog.place`."""
        return self._log.place(turn)

    def write(self, event: Event, private: Private | None = None) -> None:
        """Append an event, which stands at the place that was last asked for."""
        self.index.apply(Entry(event, private))
        self._log.append(event, private)

    def write_delta(
        self, type: DeltaType, turn: str, block: int, text: str, *, tool_id: str | None = None
    ) -> None:
        """Append a delta of `turn`. The path of every token."""
        self._log.append_delta(type, turn, block, text, tool_id=tool_id)

    def withdraw(self, record: Record, rejected: Rejected) -> None:
        """Take back the message at the end of the log and what its turn wrote behind it, which no
        commit has stored."""
        self._log.withdraw(record.after, rejected)
        self.index.forget(record)
        self._history.forget([record.turn, *record.past])
        self._history_seq = min(self._history_seq, record.after)

    # Asking

    def all_durable(self) -> asyncio.Future[None]:
        """See `DurableLog.all_durable`."""
        return self._log.all_durable()

    def check_store(self) -> None:
        """See `DurableLog.check_store`."""
        self._log.check_store()

    def has_call(self, tool_id: str) -> bool:
        """See `TurnIndex.has_call`."""
        return self.index.has_call(tool_id)

    @property
    def shown_bytes(self) -> int:
        """Of the JSON that is kept for requests; see `History.shown_bytes`."""
        return self._history.shown_bytes

    def container(self) -> str | None:
        """The provider's container, if the conversation has one."""
        return self._history.container

    def render(
        self,
        head: object,
        *,
        step: int,
        drops_thinking: bool = False,
        ignores_summary: bool = False,
    ) -> Rendered:
        """The history for the model; see `History.render`."""
        self.catch_up()
        return self._history.render(
            head, step=step, drops_thinking=drops_thinking, ignores_summary=ignores_summary
        )

    def older(self, head: object, *, step: int) -> Older | None:
        """What can be summarised; see `History.older`."""
        self.catch_up()
        return self._history.older(head, step=step)

    def context_tokens(self) -> int | None:
        """How long the conversation is; see `History.context_tokens`."""
        self.catch_up()
        return self._history.context_tokens

    def tool_names(self, *, step: int) -> list[str]:
        """The tools that this history names."""
        self.catch_up()
        return self._history.tool_names(step=step)

    def last_text(self, turn: str) -> str:
        """See `History.last_text`."""
        self.catch_up()
        return self._history.last_text(turn)

    def catch_up(self) -> None:
        """Bring the history up to date. On demand and not per token: a run is taken in whole."""
        memory = self._log.memory
        for item in memory.read(self._history_seq, memory.head):
            self._history.apply(item)
        self._history_seq = memory.head
