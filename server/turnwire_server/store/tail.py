"""The rows committed last, which have no place of their own in the file yet, as memory knows them.

A row at its conversation's place costs a page of the file, and with hundreds of conversations that
write at once a commit costs hundreds. So a commit puts its rows one after the other into one table,
`tail`, whatever they belong to; when a turn has ended, compaction brings its rows to their place,
joined. What compaction has not come to is placed as it is once it lies far back.

Written on the store's writing thread, and only after the commit that makes it true: rows are added
once they are stored, and removed once they stand elsewhere. Whoever looks here first and into the
file second misses nothing, and may meet a row twice.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from turnwire_server.store.port import Row

__all__ = ["Tail", "Unsettled", "follow_on"]


@dataclass(slots=True)
class Unsettled:
    """What the tail holds of one conversation."""

    epoch: str
    is_open: bool
    first_id: int
    """The row of the table that holds the first of them."""
    rows: list[Row] = field(default_factory=list)

    @property
    def seq(self) -> int:
        """The conversation's head."""
        return self.rows[-1].last_seq


class Tail:
    """All of it. Its methods may be called on any thread; `add` and `settle` on the writing one."""

    def __init__(self) -> None:
        self.next_id = 1
        """The id of the next row of the table."""
        self._unsettled: dict[str, Unsettled] = {}
        """Those that began to write first come first."""

    def add(self, conversation: str, epoch: str, row: Row, *, is_open: bool) -> None:
        """The row is stored, with the id `next_id`."""
        unsettled = self._unsettled.get(conversation)
        if unsettled is None:
            unsettled = Unsettled(epoch, is_open, self.next_id, [row])
            self._unsettled[conversation] = unsettled
        else:
            unsettled.is_open = is_open
            unsettled.rows.append(row)
        self.next_id += 1

    def settle(self, conversation: str) -> None:
        """Its rows stand at their place, or nowhere any more."""
        self._unsettled.pop(conversation, None)

    def get(self, conversation: str) -> Unsettled | None:
        """What is unsettled of the conversation."""
        return self._unsettled.get(conversation)

    def rows(self, conversation: str) -> list[Row]:
        """Its rows, in order; a copy."""
        unsettled = self._unsettled.get(conversation)
        return [] if unsettled is None else list(unsettled.rows)

    def seqs(self) -> dict[tuple[str, str], int]:
        """The heads of its conversations, by id and epoch."""
        return {(id, item.epoch): item.seq for id, item in list(self._unsettled.items())}

    def oldest(self, *, beyond: int, rows: int) -> list[str]:
        """Conversations whose rows have been here longest, more than `beyond` rows back: as many
        as make up for `rows` new ones."""
        found: list[str] = []
        for conversation, unsettled in self._unsettled.items():
            if rows <= 0 or self.next_id - unsettled.first_id <= beyond:
                break
            found.append(conversation)
            rows -= len(unsettled.rows)
        return found

    def live_from(self, *, without: Container[str]) -> int:
        """The lowest id in use once those conversations are settled; what is below is dead."""
        others = (item for id, item in self._unsettled.items() if id not in without)
        return next((item.first_id for item in others), self.next_id)


def follow_on(rows: list[Row], later: Iterable[Row], *, after: int, max_bytes: int) -> list[Row]:
    """`rows`, up to `max_bytes` from the file, and what of the tail's rows goes on from them."""
    size = sum(len(row.body) for row in rows)
    reached = rows[-1].last_seq if rows else after
    for row in later:
        if rows and size >= max_bytes:
            break
        if row.last_seq > reached:
            rows.append(row)
            size += len(row.body)
    return rows
