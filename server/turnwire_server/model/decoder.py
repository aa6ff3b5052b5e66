"""The Messages API's stream events, decoded into parts. Pure: dicts in, parts out; knows no SDK.

Shapes: https://docs.claude.com/en/docs/build-with-claude/streaming. The measure of what is taken is
the SDK's typed stream (`anthropic.lib.streaming`): what it reads is read here, to the same answer,
whatever gateways leave out or say twice. Event, block and delta types this file does not know are
passed over for readers; a block that is known whole goes back to the model as it came, one that had
an unknown delta does not (it cannot be rebuilt).
"""

import json
from typing import Any

from pydantic_core import from_json, to_json

from turnwire_protocol import Refusal
from turnwire_protocol.text import clean, is_text
from turnwire_server.model.citations import citations_of
from turnwire_server.model.counts import Counts
from turnwire_server.model.errors import Malformed
from turnwire_server.model.port import (
    BlockEnd,
    CompactionPart,
    FallbackPart,
    Part,
    ResponseNames,
    RunsOn,
    Stop,
    TextPart,
    ThinkingPart,
    ToolInputPart,
    ToolPart,
    ToolResultPart,
    UsagePart,
)
from turnwire_server.model.results import shown_of

__all__ = ["Decoder"]

_NAME_CHARS = 256
_EXPLANATION_CHARS = 2000


_SAYING: dict[str, tuple[str, type[TextPart | ThinkingPart]]] = {
    "text": ("text_delta", TextPart),
    "thinking": ("thinking_delta", ThinkingPart),
}
"""The blocks that say something, in a field of their own name: by which deltas, as which parts."""


class _Block:
    """A block that is open: `fields` are those of its start, changed by what deltas say."""

    __slots__ = (
        "delta",
        "fields",
        "half",
        "has_input",
        "is_broken",
        "kind",
        "number",
        "part",
        "tool_id",
    )

    def __init__(self, number: int, kind: str, fields: dict[str, Any]) -> None:
        saying = _SAYING.get(kind)
        self.delta = saying[0] if saying else None
        self.part = saying[1] if saying else TextPart
        self.number = number
        self.kind = kind
        self.fields = fields
        self.tool_id = ""
        self.has_input = False
        self.is_broken = False
        self.half = ""
        """The first half of a surrogate pair, until the next delta brings the second."""


class Decoder:
    """Reduces the events of one response. Feed them in order; `stopped` tells a whole answer.

    `model`: the one that was asked, if another may answer in its place; then that is told.

    Blocks are numbered as they begin, like in the SDK; the `index` of an event only tells which of
    the open ones it means. (There are servers that give all blocks of an answer the same.)
    """

    def __init__(self, *, model: str | None = None, request_id: str | None = None) -> None:
        self.stopped = False
        self.spoken = False
        """Whether anything of a block has come: another attempt would pay for it again."""
        self.reason: str | None = None
        """Why the model stopped, once it says so: then the answer is whole, come what may."""
        self._open: dict[Any, _Block] = {}
        self._begun: set[Any] = set()
        self._count = 0
        self._started = False
        self._model = model
        self._request_id = request_id
        self._counts = Counts()
        self._refusal: Refusal | None = None
        self._container: str | None = None
        self._sequence: str | None = None
        self._fetched: dict[str, str] = {}
        """Addresses by title, of the pages that the provider fetched in this answer."""

    def feed(self, event: dict[str, Any]) -> list[Part]:
        """The parts that the next event brings, possibly none.

        Raises:
            Malformed: it cannot be used, and not be passed over either.
        """
        try:
            if event.get("type") != "content_block_delta":
                return self._feed(event)
            # The path of every token.
            index, delta = event["index"], event["delta"]
            block = self._open.get(index)
            if block is not None and delta["type"] == block.delta and not block.half:
                text = delta[block.kind]
                if text.__class__ is str and text and (text.isascii() or is_text(text)):
                    self.spoken = True
                    return [block.part(block.number, text)]
            return self._delta(index, delta)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise Malformed from error

    def finish(self) -> list[Part]:
        """The parts that the end of the response brings, if the answer was whole without its end.

        Servers leave `message_stop` out; `stopped` stays False where the reason is missing, too.
        """
        if self.stopped or self.reason is None:
            return []
        self.stopped = True
        return [Stop(self.reason, self._refusal, self._sequence)]

    def _feed(self, event: dict[str, Any]) -> list[Part]:
        match event.get("type"):
            case "content_block_start":
                return self._start(event.get("index"), event["content_block"])
            case "content_block_stop":
                # One that comes twice says nothing new.
                block = self._open.pop(event.get("index"), None)
                return [] if block is None else self._end(block)
            case "message_start":
                return self._begin(event.get("message"))
            case "message_delta":
                return self._finish(event.get("delta") or {}, event.get("usage"))
            case "message_stop":
                return self._stop()
            case _:
                return []

    def _begin(self, message: Any) -> list[Part]:
        if self._started:
            return []
        self._started = True
        message = message if isinstance(message, dict) else {}
        answering = message.get("model")
        if self._model is not None and not _is_same(answering, self._model):
            self._counts.answered_by(answering)
        names = ResponseNames(
            id=_name(message.get("id")) or None,
            model=_name(answering) or None,
            request_id=self._request_id,
        )
        return [self._tally(message.get("usage"), final=False, response=names)]

    def _finish(self, delta: dict[str, Any], usage: Any) -> list[Part]:
        container = delta.get("container")
        if isinstance(container, dict) and isinstance(container.get("id"), str):
            self._container = clean(container["id"])
        parts: list[Part] = []
        if reason := delta.get("stop_reason"):
            self.reason = _name(reason)
            self._refusal = _refusal(delta.get("stop_details"))
            self._sequence = _name(delta.get("stop_sequence")) or None
            # What is open now is complete: the model says that it has stopped.
            parts = self._end_all()
        return [*parts, self._tally(usage, final=True)]

    def _stop(self) -> list[Part]:
        if self.stopped:
            return []
        self.stopped = True
        reason = self.reason or "end_turn"
        return [*self._end_all(), Stop(reason, self._refusal, self._sequence)]

    def _start(self, index: Any, fields: dict[str, Any]) -> list[Part]:
        before = self._open.pop(index, None)
        parts = [] if before is None else self._end(before)
        kind = fields["type"]
        if not isinstance(kind, str):
            raise TypeError("not a type of block")
        block = _Block(self._count, kind, dict(fields))
        self._open[index] = block
        self._begun.add(index)
        self._count += 1
        if kind.endswith("tool_use"):
            runs_on: RunsOn = "server" if kind == "tool_use" else "provider"
            block.tool_id = _name(fields.get("id")) or f"call_{block.number}"
            parts.append(ToolPart(block.number, block.tool_id, _name(fields.get("name")), runs_on))
        elif kind.endswith("tool_result"):
            shown = shown_of(fields)
            self._fetched |= shown.fetched
            tool_id = _name(fields.get("tool_use_id"))
            parts.append(
                ToolResultPart(block.number, tool_id, shown.text, shown.is_error, shown.files)
            )
        elif kind == "fallback":
            to = fields.get("to")
            is_news = self._counts.answered_by(to.get("model") if isinstance(to, dict) else None)
            self.spoken = True
            parts.append(FallbackPart(block.number))
            return [*parts, self._tally(None, final=False)] if is_news else parts
        elif block.delta is not None:
            parts += self._say(block, fields.get(kind))
        self.spoken = self.spoken or bool(parts)
        return parts

    def _delta(self, index: Any, delta: dict[str, Any]) -> list[Part]:
        block = self._open.get(index)
        if block is None:
            return self._late(index, delta)
        kind: str = delta["type"]
        wanted = _BLOCK_OF_DELTA.get(kind)
        if wanted is None:
            block.is_broken = True
            return []
        if not block.kind.endswith(wanted):
            # A delta of another kind than its block is passed over, as by the SDK.
            return []
        match kind:
            case "text_delta":
                return self._say(block, delta["text"])
            case "thinking_delta":
                return self._say(block, delta["thinking"])
            case "input_json_delta":
                if text := _joined(block, delta["partial_json"]):
                    block.has_input = True
                    return [ToolInputPart(block.number, block.tool_id, text)]
            case "signature_delta":
                block.fields["signature"] = delta["signature"]
            case "citations_delta":
                cited = block.fields.get("citations")
                if not isinstance(cited, list):
                    cited = block.fields["citations"] = []
                cited.append(delta["citation"])
            case "compaction_delta":
                told = {name: value for name, value in delta.items() if name != "type"}
                block.fields.update(told)
        return []

    def _late(self, index: Any, delta: dict[str, Any]) -> list[Part]:
        """A delta of a block that is not open: the SDK adds it to the one that was."""
        if index not in self._begun:
            raise LookupError("its block has not begun")
        if delta.get("type") not in ("text_delta", "thinking_delta"):
            return []
        kind = delta["type"].removesuffix("_delta")
        return [*self._start(index, {"type": kind}), *self._delta(index, delta)]

    def _say(self, block: _Block, said: Any) -> list[Part]:
        text = _joined(block, said)
        if not text:
            return []
        self.spoken = True
        return [block.part(block.number, text)]

    def _end_all(self) -> list[Part]:
        blocks, self._open = self._open, {}
        return [part for block in blocks.values() for part in self._end(block)]

    def _end(self, block: _Block) -> list[Part]:
        parts: list[Part] = []
        kind, fields, number = block.kind, block.fields, block.number
        if block.half:
            # Its other half never came: readers get what stands for no character.
            parts.append(
                ToolInputPart(number, block.tool_id, "\ufffd")
                if block.delta is None
                else block.part(number, "\ufffd")
            )
        if kind == "text":
            cited = fields.get("citations")
            raw = {"type": kind, "citations": cited} if cited else None
        elif kind == "thinking":
            raw = {"type": kind, "signature": _name(fields.get("signature"), chars=None)}
        elif kind.endswith("tool_use"):
            given = fields.get("input")
            if given and not block.has_input:
                # Whole in its start, as gateways send it: the input that the model gave.
                text = clean(given) if isinstance(given, str) else _json(given)
                parts.append(ToolInputPart(number, block.tool_id, text))
            told = ("id", "name", "input")
            raw = {name: value for name, value in fields.items() if name not in told}
            raw = None if raw == {"type": "tool_use"} else raw
        elif kind == "compaction":
            return self._summarised(block)
        else:
            raw = None if block.is_broken else fields
        cited = citations_of(fields.get("citations"), self._fetched) if kind == "text" else None
        return [*parts, BlockEnd(number, None if raw is None else _storable(raw), cited)]

    def _summarised(self, block: _Block) -> list[Part]:
        summary = block.fields.get("content")
        if block.is_broken or not isinstance(summary, str) or not summary.strip():
            # The API failed to summarise, and what is older stays as it is.
            return []
        self.spoken = True
        return [CompactionPart(block.number, clean(summary), _storable(block.fields))]

    def _tally(
        self, usage: Any, *, final: bool, response: ResponseNames | None = None
    ) -> UsagePart:
        self._counts.take(usage)
        return self._counts.part(final=final, container=self._container, response=response)


_BLOCK_OF_DELTA = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "tool_use",
    "signature_delta": "thinking",
    "citations_delta": "text",
    "compaction_delta": "compaction",
}
"""How the type of the block ends whose delta it is."""


def _is_same(answering: Any, asked: str) -> bool:
    """Whether it is the model that was asked, also by the whole name of an alias."""
    return not isinstance(answering, str) or answering == asked or answering.startswith(f"{asked}-")


def _refusal(details: Any) -> Refusal | None:
    """https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback."""
    if not isinstance(details, dict) or details.get("type", "refusal") != "refusal":
        return None
    category, explanation = details.get("category"), details.get("explanation")
    if not category and not explanation:
        return None
    return Refusal(
        category=_name(category) or None,
        explanation=_name(explanation, chars=_EXPLANATION_CHARS) or None,
    )


def _joined(block: _Block, said: Any) -> str:
    """The text of a delta; a surrogate pair that was cut in two is given with its second half."""
    if said is None:
        return ""
    if not isinstance(said, str):
        raise TypeError("not a string")
    if said.isascii() and not block.half:
        return said
    text = block.half + said
    block.half = ""
    if text and "\ud800" <= text[-1] <= "\udbff":
        text, block.half = text[:-1], text[-1]
    return clean(text)


def _name(value: Any, chars: int | None = _NAME_CHARS) -> str:
    """A name as text, whatever it came as; absent ones are empty."""
    if value is None:
        return ""
    return clean(value if isinstance(value, str) else str(value))[:chars]


def _json(value: Any) -> str:
    try:
        return to_json(value).decode()
    except ValueError:
        return clean(json.dumps(value, ensure_ascii=False))


def _storable(raw: dict[str, Any]) -> dict[str, Any]:
    try:
        to_json(raw)
    except ValueError:
        # Half a surrogate pair somewhere in it.
        storable: dict[str, Any] = from_json(_json(raw))
        return storable
    return raw
