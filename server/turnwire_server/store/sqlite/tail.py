"""The tail: rows that were committed lately and are not at their place in the file yet.

A row at its conversation's place costs a page of the file: with hundreds of conversations that
write at once, a commit would cost hundreds of pages. So a commit appends its rows, whichever
conversations they belong to, to one table, `tail`. When a turn has ended, compaction joins its rows
and brings them to their place. Rows that lie far back without that are brought there as they are.

This is memory's copy of that table. It changes on the store's writing thread, and only after the
commit that makes it true: rows are added once they are stored, and removed once they are at their
place. A reader that looks here first and into the file second misses nothing, and may see a row
twice.
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
    """All rows of the tail. Reading is safe on any thread; `add` and `settle` are the writer's."""

    def __init__(self) -> None:
        self.next_id = 1
        """The id of the next row of the table."""
        self._unsettled: dict[str, Unsettled] = {}
        """By conversation, in the order in which they began to write."""

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
        """Forget its rows: they are at their place now, or deleted."""
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
    """`rows` of the file, then those of the tail that continue them, up to about `max_bytes`."""
    size = sum(len(row.body) for row in rows)
    reached = rows[-1].last_seq if rows else after
    for row in later:
        if rows and size >= max_bytes:
            break
        if row.last_seq > reached:
            rows.append(row)
            size += len(row.body)
    return rows
