"""The log of one conversation in memory: append, read after a cursor, durable head. Pure data.

Seqs are dense from 1. `floor < seq <= head` is held here; what is older is in the store. Readers
see nothing above `durable` (log before deliver).
"""

from bisect import bisect_right

from turnwire_protocol import MAX_MERGED_BYTES, Event, ToolInput
from turnwire_server.core.log.items import (
    ENTRY_BYTES,
    DeltaRun,
    DeltaType,
    Entry,
    Item,
    Private,
    text_bytes,
)

__all__ = ["MemoryLog"]


class MemoryLog:
    """Append-only; one writer, any number of cursors."""

    def __init__(self, conversation: str, *, head: int = 0) -> None:
        self.conversation = conversation
        self.floor = head
        """Entries up to here are not in memory."""
        self.head = head
        """The last seq appended."""
        self.durable = head
        """The last seq that readers may see."""
        self._items: list[Item] = []
        self._firsts: list[int] = []

    def append(self, event: Event, private: Private | None = None) -> None:
        """Append an event whose seq is `head + 1`."""
        self._push(Entry(event, private), event.seq)
        self.head = event.seq

    def append_delta(
        self, type: DeltaType, turn: str, block: int, text: str, *, tool_id: str | None = None
    ) -> bool:
        """Append a delta; it joins the run at the end if it continues it, which is returned.

        This is the path of every token: no event object is made before somebody reads.
        """
        last = self._items[-1] if self._items else None
        if (
            last.__class__ is DeltaRun
            and last.block == block
            and last.type is type
            and last.turn == turn
            and last.size + (size := text_bytes(text)) <= MAX_MERGED_BYTES
        ):
            last.texts.append(text)
            last.size += size
            self.head += 1
            return True
        run = DeltaRun(
            type,
            conversation=self.conversation,
            turn=turn,
            block=block,
            tool_id=tool_id if type is ToolInput else None,
            first_seq=self.head + 1,
            texts=[text],
        )
        self._push(run, self.head + 1)
        self.head += 1
        return False

    def take(self, item: Item) -> None:
        """Append what is stored already, from another node or an earlier process."""
        last = self._items[-1] if self._items else None
        if isinstance(item, DeltaRun) and isinstance(last, DeltaRun) and last.joins(item):
            last.texts += item.texts
            last.size += item.size
        else:
            self._push(item, item.first_seq)
        self.head = self.durable = item.last_seq

    def _push(self, item: Item, first_seq: int) -> None:
        if isinstance(item, Entry):
            # The names of the fields that were given: nobody asks, and they take as much as these.
            item.event.model_fields_set.clear()
        self._items.append(item)
        self._firsts.append(first_seq)

    def read(self, after: int, upto: int, *, max_bytes: int | None = None) -> list[Item]:
        """The merged items in (after, upto], cut at both ends; at least one if there is any.

        `max_bytes` bounds the text roughly: reading stops after the run that passes it. The caller
        sees to `after >= floor`.
        """
        items: list[Item] = []
        if upto <= after:
            return items
        size = 0
        index = max(bisect_right(self._firsts, after + 1) - 1, 0)
        # By index and not over a slice, which would copy the rest of the log for every read.
        for position in range(index, len(self._items)):
            item = self._items[position]
            if item.last_seq <= after:
                continue
            first = item.first_seq
            if max(first, after + 1) > upto:
                break
            if item.__class__ is DeltaRun:
                if first <= after or item.last_seq > upto:
                    item = item.cut(after, upto)
                size += item.size
            items.append(item)
            if max_bytes is not None and size >= max_bytes:
                break
        return items

    def cut(self, after: int) -> None:
        """Take back everything after `after`, which nobody has read or stored."""
        while self._items and self._items[-1].last_seq > after:
            item = self._items.pop()
            self._firsts.pop()
            if item.first_seq <= after:
                item = item.cut(0, after)
                self._push(item, item.first_seq)
        self.head = after

    def trim(self, keep_bytes: int) -> None:
        """Forget the oldest durable items while the rest still holds `keep_bytes` of text."""
        size, cut = 0, len(self._items)
        while cut > 0 and size < keep_bytes:
            cut -= 1
            item = self._items[cut]
            size += item.size if isinstance(item, DeltaRun) else ENTRY_BYTES
        while cut > 0 and self._items[cut - 1].last_seq > self.durable:
            cut -= 1
        if cut > 0:
            self.floor = self._items[cut - 1].last_seq
            del self._items[:cut], self._firsts[:cut]
