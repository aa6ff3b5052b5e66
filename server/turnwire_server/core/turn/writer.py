"""What the parts of a turn write to: the turn's own events, in the log of its conversation."""

import asyncio
from typing import Protocol

from turnwire_protocol import Event
from turnwire_server.core.log.items import DeltaType, Place, Private

__all__ = ["TurnWriter"]


class TurnWriter(Protocol):
    """A running turn. Once the turn is done, what is still written to it is dropped."""

    def place(self) -> Place:
        """Where the turn's next event stands, dated now: `writer.write(Step(**writer.place(), …))`.

        Valid for one event, which is written at once: the next event gets the next seq.
        """

    def write(self, event: Event, private: Private | None = None) -> None:
        """Append an event; `private` is stored with it and never sent."""

    def write_delta(
        self, type: DeltaType, block: int, text: str, *, tool_id: str | None = None
    ) -> None:
        """Append a delta. The path of every token."""

    def stored(self) -> asyncio.Future[None]:
        """Done once all that was written so far is durable: only then may anything act on it.

        Raises (when awaited):
            Rejected: the log is gone, and with it the turn.
        """

    def check_store(self) -> None:
        """See `DurableLog.check_store`: to be called before something is written for a client.

        Raises:
            Rejected: the store fails or hangs now.
        """

    def has_call(self, tool_id: str) -> bool:
        """Whether a call of the conversation has had this id."""
