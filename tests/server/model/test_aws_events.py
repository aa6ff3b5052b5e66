"""Frames of AWS's event stream: read as by botocore, however they are cut; damage is told."""

import json
import struct
from base64 import b64encode
from binascii import crc32
from itertools import pairwise
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.platforms import frame
from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.aws_events import AwsEventSplitter
from turnwire_server.model.errors import Malformed, TooLarge
from turnwire_server.model.reader import Reader

EVENT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ü☀"}}


def wrapped(data: bytes, *, spaced: bool = False) -> bytes:
    payload = {"bytes": b64encode(data).decode(), "p": "abc"}
    separators = (", ", ": ") if spaced else (",", ":")
    return frame(
        json.dumps(payload, separators=separators).encode(),
        event_type="chunk",
        content_type="application/json",
        message_type="event",
    )


def exception(kind: str, message: str) -> bytes:
    payload = json.dumps({"message": message}).encode()
    return frame(payload, exception_type=kind, message_type="exception")


def split(*chunks: bytes) -> list[tuple[bytes, bytes]]:
    splitter = AwsEventSplitter()
    return [event for chunk in chunks for event in splitter.feed(chunk)]


@given(
    datas=st.lists(st.binary(max_size=40), max_size=5),
    spaced=st.booleans(),
    cuts=st.lists(st.integers(0, 500), max_size=4),
)
def test_frames_are_read_as_by_botocore_however_they_are_cut(
    datas: list[bytes], spaced: bool, cuts: list[int]
) -> None:
    body = b"".join(wrapped(data, spaced=spaced) for data in datas)
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    theirs = [json.loads(message.payload)["bytes"] for message in buffer]
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[a:b] for a, b in pairwise(places)]
    assert [b64encode(data).decode() for _, data in split(*chunks)] == theirs
    assert [data for _, data in split(*(body[n : n + 1] for n in range(len(body))))] == datas


def test_an_exception_is_the_error_event_of_the_api() -> None:
    [(name, data)] = split(exception("throttlingException", "slow ☀"))
    error = {"type": "throttlingException", "message": "slow ☀"}
    assert (name, json.loads(data)) == (b"error", {"type": "error", "error": error})


def test_an_error_tells_itself_in_its_headers() -> None:
    body = frame(b"", error_code="InternalError", error_message="oops", message_type="error")
    [(_, data)] = split(body)
    assert json.loads(data)["error"] == {"type": "InternalError", "message": "oops"}


def test_a_frame_of_another_type_says_nothing() -> None:
    assert split(frame(b"{}", event_type="initial-response", message_type="event")) == [(b"", b"")]


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]


@given(at=st.integers(0, len(wrapped(b"{}")) - 1))
def test_a_single_bit_that_is_wrong_is_noticed(at: int) -> None:
    with pytest.raises(Malformed):
        split(flipped(wrapped(b"{}"), at))


def test_a_slash_may_be_written_as_two_characters() -> None:
    data = bytes(range(240, 256))
    payload = json.dumps({"bytes": b64encode(data).decode()}, separators=(",", ":"))
    assert "/" in payload
    assert split(frame(payload.replace("/", r"\/").encode(), message_type="event")) == [(b"", data)]


@pytest.mark.parametrize("payload", [b"[]", b"{", b'{"bytes": 1}', b'{"bytes":"!"}'])
def test_a_payload_that_is_none_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        split(frame(payload, message_type="event"))


def test_a_frame_without_end_is_refused_before_it_has_come() -> None:
    prelude = struct.pack(">II", 2**31, 0)
    with pytest.raises(TooLarge):
        split(prelude + struct.pack(">I", crc32(prelude)))


def read(*chunks: bytes) -> tuple[list[dict[str, Any]], Exception | None]:
    reader = Reader(
        lambda body, code: ModelError(code, json.dumps(body)), splitter=AwsEventSplitter()
    )
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events + reader.finish(), reader.failure


def test_the_reader_gives_what_came_before_a_failure() -> None:
    event = wrapped(json.dumps(EVENT).encode())
    events, failure = read(event + exception("serviceUnavailableException", "busy") + event)
    assert events == [EVENT]
    assert isinstance(failure, ModelError)
    assert failure.code is Code.INTERNAL, "as `judge` is told; the table knows better"
    events, failure = read(event + flipped(event, len(event) - 1))
    assert events == [EVENT]
    assert isinstance(failure, Malformed)


def test_a_frame_that_is_cut_off_says_nothing() -> None:
    event = wrapped(json.dumps(EVENT).encode())
    assert read(event, event[:-1]) == ([EVENT], None)
