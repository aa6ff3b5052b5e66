"""Frames from hostile clients: a typed refusal, never another exception, never an echo."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwire_protocol import (
    BadCommand,
    BadFrame,
    Cancel,
    Hello,
    Send,
    SendBody,
    encode,
    parse_body,
    parse_command,
    parse_object,
)

SECRET = "sk-secret"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
types = st.sampled_from(
    ["hello", "send", "cancel", "subscribe", "decide", "tool_output", "progress", "ping"]
)
fields = st.sampled_from(
    ["id", "content", "key", "thinking", "client_tools", "conversation", "after", "input", "token"]
)


@given(types, st.dictionaries(fields | st.text(), json_values))
def test_any_object_is_a_command_or_a_typed_refusal(kind: str, data: dict[str, object]) -> None:
    try:
        command = parse_command(json.dumps({**data, "type": kind}))
    except (BadCommand, BadFrame):
        return
    assert parse_command(encode(command)) == command


@given(st.binary() | st.text())
def test_any_frame_is_a_command_or_a_typed_refusal(frame: bytes | str) -> None:
    with pytest.raises((BadCommand, BadFrame)):
        parse_command(frame)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"ping","id":"\xff"}',
        b'{"type":"ping","id":"\xed\xa0\x80"}',
        '{"type":"ping","id":"\ud800"}',
        "[" * 1_000_000,
        '{"a":' * 100_000,
        '{"type":"subscribe","id":"1","conversation":"c","after":' + "9" * 100_000 + "}",
    ],
    ids=["bad UTF-8", "surrogate in UTF-8", "lone surrogate", "deep lists", "deep objects", "huge"],
)
def test_a_frame_that_strains_the_parser_is_a_bad_frame(frame: str | bytes) -> None:
    with pytest.raises(BadFrame):
        parse_command(frame)


def test_a_message_of_a_megabyte_is_accepted() -> None:
    command = parse_command(json.dumps({"type": "send", "id": "1", "content": "x" * 1_000_000}))
    assert isinstance(command, Send)
    assert len(command.content) == 1_000_000


def test_a_long_unknown_field_is_named_in_short() -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command(json.dumps({"type": "ping", "id": "1", "x" * 1_000_000: 1}))
    assert str(caught.value).startswith("xxx")
    assert len(str(caught.value)) < 200


def test_no_refusal_shows_what_the_client_sent() -> None:
    frames = [
        {"type": "hello", "id": "1", "token": [SECRET]},
        {"type": "hello", "id": SECRET * 20, "token": "x"},
        {"type": SECRET, "id": "1"},
        {"type": "send", "id": "1", "content": [{"type": SECRET}]},
    ]
    for frame in frames:
        with pytest.raises(BadCommand) as caught:
            parse_command(json.dumps(frame))
        error: BaseException | None = caught.value
        while error is not None:
            assert SECRET not in f"{error!s}{error!r}"
            error = error.__cause__


def test_a_hello_does_not_show_its_token() -> None:
    assert SECRET not in repr(Hello(id="1", token=SECRET))


def test_a_body_obeys_the_rules_of_its_command() -> None:
    assert parse_body(SendBody, parse_object('{"content": "Hi"}')) == SendBody(content="Hi")
    for text in [
        '{"content": null}',
        '{"content": "Hi", "key": null}',
        '{"content": "Hi", "x": 1}',
    ]:
        with pytest.raises(BadCommand):
            parse_body(SendBody, parse_object(text))


def test_in_python_none_is_absent() -> None:
    command = Cancel(id="1", conversation="c_1", turn="t_1", key=None)
    assert parse_command(encode(command)) == command
