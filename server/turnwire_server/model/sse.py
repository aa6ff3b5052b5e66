"""Splits a stream of server-sent events into names and data. Pure; knows nothing of their meaning.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, as far
as the Messages API uses it. An event that was begun and never closed by a blank line is given at
the end of the stream (`finish`): there are servers that leave the last one out.
"""

from collections.abc import Iterable, Iterator

from turnwire_server.model.errors import TooLarge

__all__ = ["Splitter"]


class Splitter:
    """Takes bytes as they come, cut anywhere; gives (name, data) of each complete event.

    Each byte is looked at once, and no more than `max_bytes` of an event are kept: one that never
    ends costs no more than that. `usual` are the names that come often: theirs is the short way.
    """

    def __init__(self, *, max_bytes: int, usual: Iterable[bytes] = ()) -> None:
        self._max_bytes = max_bytes
        self._usual = {b"event: " + name: name for name in usual}
        self._rest = b""
        """The beginning of an event, as one chunk brought it."""
        self._open = bytearray()
        """The event that several chunks have not completed."""
        self._held = b""
        """A final CR: it may be the first half of a CRLF that the next chunk completes."""

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Name (empty: none) and data of the events that are complete with this chunk, in order.

        Raises:
            TooLarge: an event has more than `max_bytes` and is not complete.
            UnicodeDecodeError: (at its turn) an event is no text, so the stream was damaged.
        """
        if self._held or b"\r" in chunk:
            chunk = self._held + chunk
            self._held = b"\r" if chunk.endswith(b"\r") else b""
            end = len(chunk) - len(self._held)
            chunk = chunk[:end].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._open:
            # The end of an event may have been cut in two itself.
            start = len(self._open) - 1
            self._open += chunk
            if self._open.find(b"\n\n", start) < 0:
                self._check()
                return iter(())
            chunk, self._open = bytes(self._open), bytearray()
        elif self._rest:
            chunk = self._rest + chunk
        *blocks, rest = chunk.split(b"\n\n")
        if self._rest and not blocks:
            # From now on the chunks are gathered: to join each with all before is quadratic.
            self._open = bytearray(rest)
            rest = b""
        self._rest = rest
        self._check()
        return map(self._event, blocks)

    def finish(self) -> tuple[bytes, bytes]:
        """What the end of the stream completes; both are empty where there is nothing."""
        rest = self._rest + self._open
        self._rest, self._open = b"", bytearray()
        return self._event(rest)

    def _check(self) -> None:
        if len(self._rest) + len(self._open) > self._max_bytes:
            self._rest, self._open = b"", bytearray()
            raise TooLarge

    def _event(self, block: bytes) -> tuple[bytes, bytes]:
        # The usual form, by far: one line with the name, one with the data.
        head, _, data = block.partition(b"\ndata: ")
        name = self._usual.get(head)
        if name is not None and b"\n" not in data:
            return name, data
        block.decode()
        name, lines = b"", []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"data":
                lines.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ")
        return name, b"\n".join(lines)
