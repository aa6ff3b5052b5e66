"""Reads the bytes of one response: into the API's stream events, or into why there are none. Pure.

It is never stricter than the SDK's typed stream, for which this is the faster way: what it cannot
use it passes over. It is less forgetful where the SDK ends without a word: an error that came as
something else (a JSON body in place of a stream, an event without a name or a type, a proxy's
page) is told, and so is a whole message that a gateway sent in one piece.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pydantic_core import from_json

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.errors import Malformed
from turnwire_server.model.sse import Splitter

__all__ = ["MAX_EVENT_BYTES", "EventSplitter", "Judge", "Reader"]

Event = dict[str, Any]
Judge = Callable[[object, Code], ModelError]
"""From the body of an error (JSON or text), and the code of one that tells nothing known."""

MAX_EVENT_BYTES = 16 * 2**20
"""More than any event of the API has: what it sends must fit into a request of 32 MiB again."""

_USED = frozenset(
    (
        "content_block_delta",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_start",
        "message_stop",
    )
)
_USED_NAMES = frozenset(name.encode() for name in _USED)


class EventSplitter(Protocol):
    """Finds the events in the bytes: `Splitter` the server-sent ones, others in other framings."""

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Name (empty: none) and data of the events that are complete with this chunk, in order.

        Raises:
            Malformed, UnicodeDecodeError: (at its turn) what comes is none.
        """

    def finish(self) -> tuple[bytes, bytes]:
        """What only the end completes; both are empty where there is nothing."""


class Reader:
    """Feed it the body as it comes, then `finish`. `judge` makes the error of an error's body.

    `splitter`: what finds the events, where they are no server-sent ones.

    A failure does not take back what came before it in the same read: it is kept in `failure`, and
    nothing is read after it.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        max_bytes: int = MAX_EVENT_BYTES,
        splitter: EventSplitter | None = None,
    ) -> None:
        self.failure: ModelError | Malformed | None = None
        self._judge = judge
        self._max_bytes = max_bytes
        self._splitter = splitter or Splitter(max_bytes=max_bytes, usual=_USED_NAMES)
        self._body: bytearray | None = bytearray()
        """All of it, until an event shows that it is a stream."""
        self._strange: object = None
        """The last datum that could not be used: it may tell why there is no more."""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete with this chunk, in order, as far as they can be used."""
        events: list[Event] = []
        if self.failure is not None:
            return events
        try:
            for name, data in self._splitter.feed(chunk):
                try:
                    event = from_json(data)
                    is_usual = event["type"] in _USED and (not name or name in _USED_NAMES)
                except (ValueError, TypeError, LookupError):
                    is_usual = False
                if is_usual:
                    events.append(event)
                elif (unusual := self._unusual(name, data)) is not None:
                    events.append(unusual)
            if self._body is not None:
                self._gather(chunk, is_stream=bool(events))
        except (ModelError, Malformed) as failure:
            self.failure = failure
        except UnicodeDecodeError:
            self.failure = Malformed()
        return events

    def finish(self) -> list[Event]:
        """The events that only the end of the body completes. Call it once, if nothing failed."""
        if self.failure is not None:
            return []
        try:
            name, data = self._splitter.finish()
            # The last event may lack its blank line; one that is not whole was cut off.
            last = None if _parsed(data) is _NOTHING else self._unusual(name, data)
            if last is not None:
                return [last]
            return [] if self._body is None else self._whole(bytes(self._body))
        except (ModelError, Malformed) as failure:
            self.failure = failure
        except UnicodeDecodeError:
            # Cut within a character.
            pass
        return []

    def explanation(self) -> ModelError | None:
        """For an answer that lacks its end: what could not be used, as the error it may tell of."""
        return None if self._strange is None else self._judge(self._strange, Code.NETWORK_ERROR)

    def _gather(self, chunk: bytes, *, is_stream: bool) -> None:
        assert self._body is not None
        if is_stream:
            self._body = None
            return
        self._body += chunk
        if len(self._body) > self._max_bytes:
            raise self._judge(_text(bytes(self._body)), Code.NETWORK_ERROR)

    def _unusual(self, name: bytes, data: bytes) -> Event | None:
        """What is usable of an event that is not as the API sends most."""
        if name == b"ping" or not data:
            return None
        self._body = None
        event = _parsed(data)
        if name == b"error":
            raise self._judge(_text(data) if event is _NOTHING else event, Code.INTERNAL)
        if event is _NOTHING:
            if name in _USED_NAMES:
                raise Malformed
            if data != b"[DONE]":
                # That is how another API ends its streams, and tells nothing.
                self._strange = _text(data)
            return None
        if not isinstance(event, dict):
            if name in _USED_NAMES:
                raise Malformed
            return None
        kind = event.get("type")
        if isinstance(kind, str) and kind in _USED:
            return event
        if kind == "error" or event.get("error"):
            raise self._judge(event, Code.INTERNAL)
        if kind is None and name in _USED_NAMES:
            return {**event, "type": name.decode()}
        if kind is None and event.get("message"):
            self._strange = event
        return None

    def _whole(self, body: bytes) -> list[Event]:
        """What came in place of a stream: a message in one piece, an error, a page, nothing."""
        body = body.removeprefix(b"\xef\xbb\xbf").strip()
        if not body:
            return []
        said = _parsed(body)
        if isinstance(said, dict) and said.get("type") == "message":
            return _events_of(said)
        raise self._judge(_text(body) if said is _NOTHING else said, Code.NETWORK_ERROR)


class _Nothing:
    """In place of JSON: there is none."""


_NOTHING = _Nothing()


def _parsed(data: bytes) -> Any:
    try:
        return from_json(data)
    except ValueError:
        try:
            # Half a surrogate pair is a string to the SDK's parser, and no JSON to the fast one.
            return json.loads(data)
        except (ValueError, RecursionError):
            return _NOTHING


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _events_of(message: Event) -> list[Event]:
    """A message in one piece, as the stream it should have been."""
    content = message.get("content")
    events: list[Event] = [{"type": "message_start", "message": message}]
    for index, block in enumerate(content if isinstance(content, list) else []):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "content_block_stop", "index": index})
    # A message that has come whole has an end, whether it names the reason or not.
    delta = {"stop_reason": message.get("stop_reason") or "end_turn"}
    usage = message.get("usage")
    events.append({"type": "message_delta", "delta": {**message, **delta}, "usage": usage})
    return [*events, {"type": "message_stop"}]
