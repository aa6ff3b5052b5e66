"""Streams as gateways, proxies and the API itself send them: strategies, and what they mean.

The oracle is the SDK's typed stream: `sdk_answer` folds what it makes of the bytes, `our_answer`
the parts we made of the same ones, both to the same plain form.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from anthropic.types import Message
from hypothesis import strategies as st
from pydantic_core import from_json

from turnwire_server.model.port import (
    BlockEnd,
    Part,
    Stop,
    TextPart,
    ThinkingPart,
    ToolInputPart,
    ToolPart,
    UsagePart,
)

__all__ = ["Plain", "bodies", "our_answer", "sdk_answer"]

Json = dict[str, Any]

COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


@dataclass
class Plain:
    """What an answer says, however it came. Blocks that say nothing to anybody are left out."""

    blocks: list[Json] = field(default_factory=list)
    usage: Json = field(default_factory=dict)
    stop_reason: str | None = None


def _text(value: str) -> str:
    """As readable text: pairs joined, halves replaced. The SDK leaves them as they are."""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def sdk_answer(message: Message) -> Plain:
    """The SDK's final message."""
    blocks: list[Json] = []
    for block in message.content:
        form: Json = block.to_dict(warnings=False)
        plain: Json = {"type": form["type"]}
        for name in ("text", "thinking", "signature"):
            if isinstance(form.get(name), str):
                plain[name] = _text(form[name])
        if form["type"] == "text":
            plain["citations"] = form.get("citations") or None
        if str(form["type"]).endswith("tool_use"):
            plain |= {"id": form["id"], "name": form["name"], "input": form["input"]}
        blocks.append(plain)
    counted: Json = message.usage.to_dict(warnings=False)
    usage = {name: int(counted.get(name) or 0) for name in COUNTS}
    return Plain(list(filter(_says_something, blocks)), usage, message.stop_reason)


def _says_something(block: Json) -> bool:
    return bool({*block} - {"type"}) and block not in (
        {"type": "text", "text": "", "citations": None},
        {"type": "thinking", "thinking": "", "signature": ""},
    )


def our_answer(parts: Iterable[Part]) -> Plain:
    """The fold of the parts of a whole answer."""
    plain = Plain()
    blocks: dict[int, Json] = {}
    for part in parts:
        match part:
            case UsagePart():
                plain.usage = {name: getattr(part, name) for name in COUNTS}
            case Stop():
                assert plain.stop_reason is None, "one end"
                plain.stop_reason = part.reason
            case TextPart() | ThinkingPart():
                name = "text" if isinstance(part, TextPart) else "thinking"
                block = blocks.setdefault(part.index, {"type": name, name: ""})
                assert part.text, "no empty parts"
                block[name] += part.text
            case ToolPart():
                call = {"type": "tool_use", "id": part.tool_id, "name": part.name, "input": ""}
                blocks[part.index] = call
            case ToolInputPart():
                blocks[part.index]["input"] += part.partial_json
            case BlockEnd():
                _end(blocks.setdefault(part.index, {}), part.raw or {})
    plain.blocks = [block for _, block in sorted(blocks.items()) if _says_something(block)]
    return plain


def _end(block: Json, raw: Json) -> None:
    assert "done" not in block, "a block ends once"
    kind: str = block.get("type") or raw.get("type") or ""
    if kind == "text":
        block["citations"] = raw.get("citations")
        block.setdefault("text", "")
    if kind == "thinking":
        block["signature"] = raw["signature"]
        block.setdefault("thinking", "")
    if kind.endswith("tool_use"):
        block["input"] = from_json(block["input"]) if block["input"] else {}
    block["type"] = kind if kind != "server_tool_use" else "tool_use"


# Strategies

_texts = st.text(max_size=12) | st.sampled_from(["Grün ☘", "🌳 tree", "data: x\n\nevent: y", " "])
_halves = st.sampled_from(["\ud83c", "\udf89", "x\ud83c", "\udf89y"])
_inputs = st.dictionaries(st.sampled_from(["city", "ü", "n"]), _texts | st.integers(), max_size=3)
_counts = st.integers(0, 9999) | st.integers(0, 999).map(float) | st.none()


def _pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def _block(draw: st.DrawFn, index: int) -> list[Json]:
    kind = draw(st.sampled_from(["text", "halves", "thinking", "tool", "whole tool", "unknown"]))
    deltas: list[Json] = []
    start: Json
    if kind in ("text", "halves"):
        start = {"type": "text", "text": draw(st.sampled_from(["", "So: "]))}
        texts = draw(st.lists(_halves if kind == "halves" else _texts, max_size=4))
        deltas = [{"type": "text_delta", "text": text} for text in texts]
        if draw(st.booleans()):
            cited = {"type": "char_location", "cited_text": "c", "document_index": 0}
            deltas.append({"type": "citations_delta", "citation": cited})
    elif kind == "thinking":
        start = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": t} for t in draw(st.lists(_texts))]
        deltas.append({"type": "signature_delta", "signature": "sig"})
    elif kind == "unknown":
        start = {"type": "novelty", "payload": [1]}
        deltas = [{"type": "novelty_delta", "payload": 2}] * draw(st.integers(0, 2))
    else:
        id = draw(st.sampled_from(["call_0", "toolu_1"]))
        given_input = draw(_inputs)
        start = {"type": "tool_use", "id": id, "name": "echo", "input": {}}
        if kind == "whole tool":
            start["input"] = given_input
        else:
            text = json.dumps(given_input, ensure_ascii=draw(st.booleans()))
            deltas = [
                {"type": "input_json_delta", "partial_json": piece} for piece in _pieces(draw, text)
            ]
    events = [{"type": "content_block_start", "index": index, "content_block": start}]
    events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    stops = draw(st.sampled_from([1, 1, 1, 0, 2]))
    return [*events, *[{"type": "content_block_stop", "index": index}] * stops]


@st.composite
def _answers(draw: st.DrawFn) -> list[Json]:
    usage = {name: draw(_counts) for name in COUNTS}
    usage["output_tokens"] = usage["output_tokens"] or 0
    head: Json = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**usage, "input_tokens": usage["input_tokens"] or 0},
    }
    events: list[Json] = [{"type": "message_start", "message": head}]
    for index in range(draw(st.integers(0, 3))):
        events += draw(_block(index))
    reasons = ["end_turn", "tool_use", "max_tokens", "novel_reason", None]
    delta = {"stop_reason": draw(st.sampled_from(reasons)), "stop_sequence": None}
    final = {"output_tokens": draw(st.integers(0, 99) | st.just(7.0))}
    ends: list[Json] = [
        {"type": "message_delta", "delta": delta, "usage": final},
        {"type": "message_stop"},
    ]
    return [*events, *ends[: draw(st.sampled_from([2, 2, 2, 1, 0]))]]


_NOISE = (
    b"event: ping\ndata: {}",
    b"event: ping\ndata: pong",
    b'event: ping\ndata: {"type": "ping"}',
    b": a comment",
    b'event: news\ndata: {"type": "news", "index": 0, "text": "?"}',
    b"data: [DONE]",
    b"id: 7\nretry: 5",
    b"event: empty",
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """The whole body of a response."""
    events = [
        b"event: %s\ndata: %s"
        % (
            event["type"].encode(),
            json.dumps(event, ensure_ascii=True).encode()
            if _has_halves(event) or draw(st.booleans())
            else json.dumps(event, ensure_ascii=False).encode(),
        )
        for event in draw(_answers())
    ]
    for noise in draw(st.lists(st.sampled_from(_NOISE), max_size=3)):
        events.insert(draw(st.integers(0, len(events))), noise)
    body = b"".join(event + b"\n\n" for event in events)
    return draw(st.sampled_from([body, body.replace(b"\n", b"\r\n"), body.replace(b"\n", b"\r")]))


def _has_halves(event: Json) -> bool:
    try:
        json.dumps(event, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
