"""Events become AG-UI's events: by the protocol's own models, and closed as they were opened."""

from collections import Counter
from typing import Any

from ag_ui.core import Event
from pydantic import TypeAdapter

from tests.wires.ag_ui.logs import draw_cases

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)

OPENERS = {
    "TEXT_MESSAGE_START": ("text", "messageId"),
    "REASONING_START": ("span", "messageId"),
    "REASONING_MESSAGE_START": ("reasoning", "messageId"),
    "TOOL_CALL_START": ("call", "toolCallId"),
    "STEP_STARTED": ("step", "stepName"),
}
INSIDE = {
    "TEXT_MESSAGE_CONTENT": ("text", "messageId"),
    "REASONING_MESSAGE_CONTENT": ("reasoning", "messageId"),
    "TOOL_CALL_ARGS": ("call", "toolCallId"),
}
CLOSERS = {
    "TEXT_MESSAGE_END": ("text", "messageId"),
    "REASONING_END": ("span", "messageId"),
    "REASONING_MESSAGE_END": ("reasoning", "messageId"),
    "TOOL_CALL_END": ("call", "toolCallId"),
    "STEP_FINISHED": ("step", "stepName"),
}
ENDS = ("RUN_FINISHED", "RUN_ERROR")


def check_run(chunks: list[dict[str, Any]]) -> None:
    """The rules that the clients hold every run to."""
    opened: set[tuple[str, str]] = set()
    for chunk in chunks:
        if kind := OPENERS.get(chunk["type"]):
            assert (kind[0], chunk[kind[1]]) not in opened
            opened.add((kind[0], chunk[kind[1]]))
        elif kind := INSIDE.get(chunk["type"]):
            assert chunk["delta"]
            assert (kind[0], chunk[kind[1]]) in opened
        elif kind := CLOSERS.get(chunk["type"]):
            opened.remove((kind[0], chunk[kind[1]]))
    types = [chunk["type"] for chunk in chunks]
    assert (types[0], opened) == ("RUN_STARTED", set())
    assert types[-1] in ENDS
    assert sum(type in ENDS for type in types) == 1


def test_every_run_of_a_random_log_is_one_that_the_clients_take() -> None:
    kinds: Counter[str] = Counter()
    for case in draw_cases(max_examples=60):
        check_run(case.chunks)
        for chunk in case.chunks:
            _EVENT.validate_python(chunk)
        kinds.update(chunk["type"] for chunk in case.chunks)
    # The logs have what there is to be told.
    assert {*OPENERS, *INSIDE, *CLOSERS, *ENDS, "MESSAGES_SNAPSHOT", "CUSTOM"} <= set(kinds)


def test_to_clients_of_0_x_nothing_new_is_said() -> None:
    for case in draw_cases(max_examples=40):
        if case.version is None:
            first, last = case.chunks[0], case.chunks[-1]
            assert "protocolVersion" not in first
            assert "usage" not in last
            assert last.get("outcome") in (None, {"type": "success"})
