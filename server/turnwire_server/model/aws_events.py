"""Splits a stream in AWS's framing, in which Bedrock wraps the API's events. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html shows the frame:
lengths, their checksum, headers, payload, checksum. A frame of type `event` holds
`{"bytes": <base64 of an event of the Messages API>}`; `exception` and `error` end the stream.
botocore reads the same (tests/server/model/test_aws_events.py compares), at many times the cost:
this is on the path of every token, and botocore copies what is left after each frame.
"""

import contextlib
import struct
from binascii import a2b_base64, crc32
from collections.abc import Iterator

from pydantic_core import from_json, to_json

from turnwire_server.model.errors import Malformed, TooLarge

__all__ = ["AWS_EVENT_STREAM", "AwsEventSplitter"]

AWS_EVENT_STREAM = "application/vnd.amazon.eventstream"
"""The content type of such a response."""

_PRELUDE = struct.Struct(">III")
"""Length of the frame, length of its headers, checksum of both."""
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_MAX_BYTES = 25 * 2**20
"""Of a frame: the protocol's 24 MiB of payload, and its headers."""
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""By type of a header's value: its bytes, where they do not begin with a length."""


class AwsEventSplitter:
    """Takes bytes as they come, cut anywhere; gives (name, data) of each frame, like `Splitter`.

    Events have no name: their data says what they are. What ends the stream is named `error`, and
    its data has the form of the Messages API's `error` event.
    """

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Name (empty: none) and data of the frames that are complete with this chunk, in order.

        Raises:
            TooLarge: a frame is larger than the protocol allows.
            Malformed: (at its turn) it is none.
        """
        data = self._data
        data += chunk
        start = 0
        try:
            while len(data) - start >= _PRELUDE.size:
                length, headers, checksum = _PRELUDE.unpack_from(data, start)
                if crc32(data[start : start + 8]) != checksum:
                    raise Malformed
                if length > _MAX_BYTES:
                    raise TooLarge
                if length < _PRELUDE.size + headers + _CHECKSUM.size:
                    raise Malformed
                if len(data) - start < length:
                    break
                frame = bytes(data[start : start + length])
                start += length
                if crc32(frame[:-4]) != _CHECKSUM.unpack_from(frame, length - 4)[0]:
                    raise Malformed
                yield _event(frame, _PRELUDE.size + headers)
        finally:
            # Once a chunk, and not once a frame: each removal moves all that is behind it.
            del data[:start]

    def finish(self) -> tuple[bytes, bytes]:
        """Nothing: a frame that is not whole says nothing."""
        return b"", b""


def _event(frame: bytes, headers_end: int) -> tuple[bytes, bytes]:
    payload = frame[headers_end:-4]
    # By far most: no need to look at the headers of what says itself what it is.
    if payload.startswith(b'{"bytes":"'):
        with contextlib.suppress(ValueError):  # JSON may write a slash as two characters.
            return b"", a2b_base64(payload[10 : payload.find(b'"', 10)], strict_mode=True)
    headers = _headers(frame, headers_end)
    if headers.get(":message-type") in ("exception", "error"):
        return b"error", _failure(headers, payload)
    try:
        wrapped = from_json(payload).get("bytes")
        return b"", b"" if wrapped is None else a2b_base64(wrapped, strict_mode=True)
    except (ValueError, TypeError, AttributeError) as error:
        raise Malformed from error


def _failure(headers: dict[str, str], payload: bytes) -> bytes:
    """`throttlingException {"message": …}`, in the form in which the API tells of it."""
    kind = headers.get(":exception-type") or headers.get(":error-code")
    message = headers.get(":error-message")
    try:
        said = from_json(payload)
    except ValueError:
        said = {}
    if message is None and isinstance(said, dict):
        message = said.get("message", said.get("Message"))
    return to_json({"type": "error", "error": {"type": kind, "message": message}})


def _headers(frame: bytes, end: int) -> dict[str, str]:
    """The headers that are texts."""
    found: dict[str, str] = {}
    at = _PRELUDE.size
    try:
        while at < end:
            name = frame[at + 1 : at + 1 + frame[at]].decode()
            at += 1 + frame[at]
            kind, at = frame[at], at + 1
            if kind in _SIZES:
                at += _SIZES[kind]
                continue
            (length,) = _LENGTH.unpack_from(frame, at)
            at += _LENGTH.size
            if kind == _STRING:
                found[name] = frame[at : at + length].decode()
            at += length
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise Malformed from error
    return found
