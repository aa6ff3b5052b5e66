"""Splits a stream of server-sent events into their data. Pure; knows nothing of what it means.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, as far
as the Messages API uses it: the event's name is in its data, too, and is passed over.
"""

from collections.abc import Iterator

__all__ = ["Splitter"]


class Splitter:
    """Takes bytes as they come, cut anywhere; gives the data of each complete event."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of the events that are complete with this chunk, in order.

        Raises (at its turn):
            UnicodeDecodeError: an event is no text.
        """
        data = self._rest + chunk
        if b"\r" in data:
            # A final CR may be the first half of a CRLF that the next chunk completes.
            held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            held = b""
        *blocks, rest = data.split(b"\n\n")
        self._rest = rest + held
        return (found for block in blocks if (found := _data(block)))


def _data(block: bytes) -> bytes:
    # The usual form, by far: one line with the name, one with the data.
    name, found, data = block.partition(b"\ndata: ")
    if found and b"\n" not in name and b"\n" not in data and name.startswith(b"event:"):
        return data
    block.decode()
    lines = [line[5:] for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(line[1:] if line.startswith(b" ") else line for line in lines)
