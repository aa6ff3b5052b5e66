"""Hypothesis strategies for logs that follow the grammar of a turn; knows no server.

`conversations()` draws the events of one log, unmerged and in order: turns with steps, attempts,
retries and rewinds, blocks in pieces, parallel tools with approvals, queued messages, retracted
turns, events of unknown types; turns that end well, are stopped anywhere, fail, or still run.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from turnwire_protocol import Event, parse_event

__all__ = ["CONVERSATION", "contents", "conversations", "cuts", "deltas", "inputs"]

CONVERSATION = "c_1"
AT = "2026-11-20T10:00:00.000Z"
USAGE = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
ENDS = ("cancelled", "failed", "interrupted")

Body = dict[str, Any]

pieces = st.text(max_size=6)
attachments = st.builds(
    lambda kind, digest, size, name: {
        **dict(zip(("type", "media_type"), kind, strict=True)),
        "blob": f"b_{digest:032x}",
        "bytes": size,
        **({"name": name} if name else {}),
    },
    st.sampled_from([("image", "image/png"), ("document", "application/pdf")]),
    st.integers(0, 2**128 - 1),
    st.integers(1, 2**30),
    pieces,
)
blocks = st.builds(lambda text: {"type": "text", "text": text}, pieces) | attachments
contents = pieces | st.lists(blocks, max_size=3)
inputs = st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=3))


citations = st.lists(
    st.sampled_from(
        [
            {"cited_text": "a", "title": "A", "url": "https://a.example/"},
            {"cited_text": "b", "url": "https://b.example/"},
            {"cited_text": "c", "document": 0, "unit": "page", "start": 1, "end": 2},
        ]
    ),
    max_size=2,
)


@st.composite
def conversations(draw: st.DrawFn, *, max_turns: int = 3) -> list[Event]:
    """The whole log of one conversation, seq from 1, every span 1."""
    names = [f"t_{n}" for n in range(1, draw(st.integers(1, max_turns)) + 1)]
    log: list[Body] = []
    queued: set[str] = set()
    for position, name in enumerate(names):
        if name not in queued:
            if position and draw(st.booleans()):
                from_turn = draw(st.sampled_from(names[:position]))
                log.append(_dated("retract", name, from_turn=from_turn))
            log.append(_message(draw, name))
        last = position == len(names) - 1
        body = draw(_turns(name, may_run_on=last))
        if not last and draw(st.booleans()):
            follower = names[position + 1]
            queued.add(follower)
            body.insert(draw(st.integers(0, len(body) - 1)), _message(draw, follower))
        if draw(st.booleans()):
            hum = {"type": "hum", "turn": name, "loudness": draw(st.integers())}
            body.insert(draw(st.integers(0, len(body) - 1)), hum)
        log.extend(body)
    return [
        parse_event({"conversation": CONVERSATION, "seq": seq, **body})
        for seq, body in enumerate(log, start=1)
    ]


@st.composite
def deltas(draw: st.DrawFn, *, max_size: int = 30, max_text: int = 40_000) -> list[Event]:
    """Deltas of few blocks with spans and, sometimes, very long texts: what the bound is about."""
    events: list[Event] = []
    seq = 0
    for _ in range(draw(st.integers(0, max_size))):
        kind = draw(st.sampled_from(["thinking", "token", "tool_input"]))
        span = draw(st.integers(1, 4))
        text = draw(st.sampled_from(["", "a", "é", "€", "😀"])) * draw(st.integers(0, max_text))
        seq += span
        fields = {"tool_id": "u", "partial_json": text} if kind == "tool_input" else {"text": text}
        place = {"conversation": CONVERSATION, "seq": seq, "span": span, "turn": "t_1"}
        events.append(
            parse_event({"type": kind, "block": draw(st.integers(0, 1)), **place, **fields})
        )
    return events


@st.composite
def cuts(draw: st.DrawFn, events: list[Event]) -> list[list[Event]]:
    """The events cut into reads, in order; some reads may be empty."""
    places = sorted(draw(st.lists(st.integers(0, len(events)), max_size=6)))
    edges = [0, *places, len(events)]
    return [events[start:end] for start, end in pairwise(edges)]


@st.composite
def _turns(draw: st.DrawFn, turn: str, *, may_run_on: bool) -> list[Body]:
    if draw(st.integers(0, 9)) == 0:
        return [_done(turn, "cancelled", steps=0)]
    body = [_dated("start", turn, model="m"), *_steps(draw, turn)]
    end = draw(st.sampled_from(["end_turn", "max_tokens", *ENDS]))
    if end in ENDS:
        del body[draw(st.integers(1, len(body))) :]
        body.extend(_missing_results(body, turn))
    if end == "failed":
        body.append(_dated("error", turn, code="overloaded", message="busy", retryable=True))
    steps = sum(entry["type"] == "step" for entry in body)
    body.append(_done(turn, end, steps=steps))
    if may_run_on and draw(st.booleans()):
        del body[draw(st.integers(1, len(body))) :]
    return body


def _steps(draw: st.DrawFn, turn: str) -> Iterator[Body]:
    block = 0
    last_step = draw(st.integers(1, 3))
    for step in range(1, last_step + 1):
        first, streamed = block, False
        last_attempt = draw(st.integers(1, 3))
        for attempt in range(1, last_attempt + 1):
            yield _dated("step", turn, step=step, attempt=attempt, model="m")
            yield _usage(draw, turn, step, attempt)
            blocks, tools = _blocks(draw, turn, f"u{step}.{attempt}.", first)
            failed = attempt < last_attempt
            if failed:
                del blocks[draw(st.integers(0, len(blocks))) :]
            if blocks and streamed:
                yield _dated("rewind", turn, block=first)
            yield from blocks
            streamed = streamed or bool(blocks)
            block = max([first, *(entry["block"] + 1 for entry in blocks)])
            if failed:
                wait = draw(st.floats(0, 60))
                error = {"code": "timeout", "message": "stalled", "delay_seconds": wait}
                yield _dated("retry", turn, step=step, attempt=attempt, **error)
            else:
                yield _usage(draw, turn, step, attempt)
                if streamed and not blocks:
                    # An attempt that answers nothing still voids what the failed one streamed:
                    # here the turn ends with the old text, as after a failed retry.
                    return
                yield from _executions(draw, turn, tools)


def _blocks(
    draw: st.DrawFn, turn: str, prefix: str, first: int
) -> tuple[list[Body], list[tuple[str, str]]]:
    events: list[Body] = []
    tools: list[tuple[str, str]] = []
    kinds = draw(st.lists(st.sampled_from(["thinking", "token", "tool"]), max_size=4))
    for block, kind in enumerate(kinds, start=first):
        parts = draw(st.lists(pieces, max_size=4))
        if kind == "tool":
            tool_id = f"{prefix}{block}"
            runs_on = draw(st.sampled_from(["server", "client", "provider"]))
            tools.append((tool_id, runs_on))
            call = {"block": block, "tool_id": tool_id}
            events.append(_dated("tool_start", turn, **call, tool_name="look", runs_on=runs_on))
            events += [_delta("tool_input", turn, **call, partial_json=part) for part in parts]
        else:
            events += [_delta(kind, turn, block=block, text=part) for part in parts or [""]]
        cited = draw(citations) if kind == "token" else []
        events.append(
            _dated("block_stop", turn, block=block, **({"citations": cited} if cited else {}))
        )
    return events, tools


def _executions(draw: st.DrawFn, turn: str, tools: list[tuple[str, str]]) -> Iterator[Body]:
    lives = [_execution(draw, turn, tool_id, runs_on) for tool_id, runs_on in tools]
    while waiting := [life for life in lives if life]:
        yield draw(st.sampled_from(waiting)).pop(0)


def _execution(draw: st.DrawFn, turn: str, tool_id: str, runs_on: str) -> list[Body]:
    call = {"tool_id": tool_id, "input": draw(inputs)}
    named = {**call, "tool_name": "look"}
    result = {"tool_id": tool_id, "content": draw(contents), "is_error": False, "duration_ms": 5}
    life: list[Body] = []
    if draw(st.booleans()):
        decision = draw(st.sampled_from(["allow", "deny"]))
        life.append(_dated("tool_approval", turn, **named, expires_at=AT))
        life.append(_dated("tool_decision", turn, tool_id=tool_id, decision=decision))
        if decision == "deny":
            return [*life, _dated("tool_result", turn, **result | {"is_error": True})]
    if runs_on != "provider":
        runner = {"runner": "r_1"} if runs_on == "client" else {}
        life.append(_dated("tool_executing", turn, **named, runs_on=runs_on, **runner))
        for fraction in draw(st.lists(st.floats(0, 1), max_size=2)):
            progress = {"tool_id": tool_id, "message": draw(pieces), "fraction": fraction}
            life.append(_dated("tool_progress", turn, **progress))
    return [*life, _dated("tool_result", turn, **result)]


def _missing_results(body: list[Body], turn: str) -> list[Body]:
    announced = [entry["tool_id"] for entry in body if entry["type"] == "tool_start"]
    ended = {entry["tool_id"] for entry in body if entry["type"] == "tool_result"}
    why = {"content": "cancelled by the user", "is_error": True, "duration_ms": 0}
    return [
        _dated("tool_result", turn, tool_id=tool_id, **why)
        for tool_id in announced
        if tool_id not in ended
    ]


def _message(draw: st.DrawFn, turn: str) -> Body:
    key = {"key": f"k_{turn}"} if draw(st.booleans()) else {}
    return _dated("message", turn, role="user", content=draw(contents), **key)


def _usage(draw: st.DrawFn, turn: str, step: int, attempt: int) -> Body:
    counts = {"input_tokens": 9, "output_tokens": draw(st.integers(0, 99)), **USAGE}
    return _dated("usage", turn, step=step, attempt=attempt, **counts)


def _done(turn: str, stop_reason: str, *, steps: int) -> Body:
    usage = {"input_tokens": 9, "output_tokens": 9, **USAGE}
    fields = {"stop_reason": stop_reason, "usage": usage, "steps": steps, "duration_ms": 7}
    return _dated("done", turn, **fields)


def _dated(kind: str, turn: str, **fields: Any) -> Body:
    return {"type": kind, "turn": turn, "at": AT, **fields}


def _delta(kind: str, turn: str, **fields: Any) -> Body:
    return {"type": kind, "turn": turn, **fields}
