"""History: the log folded into the messages the model is shown. Pure, incremental.

A thinking block is bound to everything before it: system prompt, tools and messages. The API
refuses a request in which one of these is another than it was when the model thought
(platform.claude.com/docs, "Preserved thinking"). So each step's event keeps a digest of what its
request showed, the prefix, and thinking is shown again only behind the same prefix.

Behind a summary (`Summary`) only what it does not stand for is shown. Everything else is kept: a
summary that becomes void gives it back.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from turnwire_protocol import (
    BlockStop,
    Code,
    Compaction,
    Content,
    Done,
    Error,
    Message,
    Retract,
    Rewind,
    Start,
    Step,
    StopReason,
    TextBlock,
    Thinking,
    ToolResult,
    ToolStart,
    Usage,
)
from turnwire_server.core.history.answer import (
    Answer,
    BlockParts,
    Segment,
    api_content,
    without_attachments,
    without_thinking,
)
from turnwire_server.core.history.shown import Shown, append, digest, digest_behind, show
from turnwire_server.core.history.summary import Older, Summary
from turnwire_server.core.log.items import DeltaRun, Entry, Item, Private
from turnwire_server.model.port import ApiBlock, ApiMessage

__all__ = ["History", "Rendered"]


class Rendered(NamedTuple):
    """A history for one request."""

    messages: list[ApiMessage]
    """In the form of the Messages API; parts are shared, callers do not change them."""
    prefix: str
    """The digest of all that the request shows, to be kept with its step."""


@dataclass(slots=True)
class _Turn:
    id: str
    content: Content
    added: list[ApiBlock] = field(default_factory=list)
    """What a hook of the app gave the model behind the message."""
    step: int = 0
    prefixes: dict[int, str] = field(default_factory=dict)
    """By step: the prefix that its thinking is bound to. Logs of old versions have none."""
    answer: Answer = field(default_factory=Answer)
    container: str | None = None
    final: list[Segment] | None = None
    """What it shows once it is done. It changes only where `History` leaves something out."""
    tool_names: dict[str, None] | None = None
    """The tools that names, in their order; None: it names none."""
    bound: Shown | None = None
    """The last rendering of `final`: most requests have the same prefix as the one before."""
    is_text_only: bool = False
    """Its attachments are left out."""
    is_refused: bool = False
    """The model refused it, or it was too long: it is not shown again."""
    summaries: list[Summary] = field(default_factory=list)
    context_tokens: int | None = None
    """How long the conversation was at its end; 0 behind a summary."""

    def segments(self, *, before_step: int) -> list[Segment]:
        """What the turn shows: all of it once it is done, else what was before that step."""
        return self._segments(before_step=before_step) if self.final is None else self.final

    def finish(self, *, is_refused: bool) -> None:
        self.is_refused |= is_refused
        self.final = [] if self.is_refused else self._segments(before_step=None)
        self.tool_names = _tool_names(self.final) or None
        self.answer = Answer()

    def leave_out_attachments(self) -> None:
        self.is_text_only, self.bound = True, None
        if self.final is not None:
            self.final = [
                segment._replace(content=without_attachments(segment.content))
                for segment in self.final
            ]

    def leave_out_thinking(self) -> None:
        self.bound = None
        self.answer.leave_out_thinking()
        if self.final is not None:
            self.final = [
                segment._replace(content=without_thinking(segment.content))
                for segment in self.final
            ]

    def _segments(self, *, before_step: int | None) -> list[Segment]:
        content = self.content
        if not isinstance(content, str):
            # The API refuses blank text.
            content = [b for b in content if not isinstance(b, TextBlock) or b.text.strip()]
        said = api_content(content)
        if self.added:
            said = [*([{"type": "text", "text": said}] if isinstance(said, str) else said)]
            said += self.added
        message = Segment("user", 0, said)
        segments = [message, *self.answer.segments(before_step=before_step)]
        if not self.is_text_only:
            return segments
        return [each._replace(content=without_attachments(each.content)) for each in segments]


class History:
    """The messages of one conversation. Feed every item of the log once, in order."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._started: dict[str, _Turn] = {}
        self._untried: list[_Turn] = []
        """Turns of which the model may not have taken all attachments yet."""

    def apply(self, item: Item) -> None:
        """Take in the next item of the log, or the next part of a run."""
        if isinstance(item, DeltaRun):
            if turn := self._turns.get(item.turn):
                block = _block(turn, item.block)
                block.thinks = item.type is Thinking
                block.texts += item.texts
            return
        self._apply(item)

    def forget(self, turns: Iterable[str]) -> None:
        """Take back the last turns, which the model was not shown, and which retracted nothing."""
        for name in turns:
            turn = self._turns.pop(name, None)
            self._started.pop(name, None)
            self._untried = [untried for untried in self._untried if untried is not turn]

    def _apply(self, entry: Entry) -> None:
        event, private = entry.event, entry.private or {}
        if isinstance(event, Message):
            self._turns[event.turn] = _Turn(event.turn, event.content)
            return
        if isinstance(event, Retract):
            self._retract(event.from_turn)
            return
        turn = self._turns.get(event.turn)
        if turn is None:
            return
        match event:
            case Start():
                self._started[event.turn] = turn
                turn.added = private.get("added", [])
                self._untried.append(turn)
            case Step():
                turn.step = event.step
                if "prefix" in private:
                    turn.prefixes[event.step] = private["prefix"]
                if private.get("drops_thinking"):
                    self._leave_out_thinking()
            case ToolStart():
                _block(turn, event.block).tool = event
            case BlockStop():
                block = _block(turn, event.block)
                block.complete, block.raw = True, entry.private
            case Compaction() if "raw" in private:
                self._summarise(turn, event, private)
            case Rewind():
                blocks = turn.answer.blocks
                turn.answer.blocks = {n: blocks[n] for n in blocks if n < event.block}
                turn.summaries = [each for each in turn.summaries if each.block < event.block]
            case ToolResult():
                turn.answer.results[event.tool_id] = event
                self._untried.append(turn)
            case Usage():
                # The model has begun to answer: it took what it was shown.
                self._untried.clear()
                turn.container = private.get("container") or turn.container
                if event.context_tokens is not None:
                    turn.context_tokens = event.context_tokens
            case Error():
                self._refuse(turn, event.code, private.get("cause"))
            case Done():
                turn.finish(is_refused=event.stop_reason == StopReason.REFUSAL)
                if turn.is_refused:
                    # Those are made of its message.
                    turn.summaries = [each for each in turn.summaries if each.turn != event.turn]

    def _summarise(self, turn: _Turn, event: Compaction, private: Private) -> None:
        turn.summaries.append(Summary.of(event.block, private, turn=event.turn, step=turn.step))
        turn.context_tokens = 0
        for each in self._started.values():
            # Behind a summary every prefix is another, and most of them are not shown any more.
            each.bound = None
        if "turn" not in private:
            # The answer itself began with it: what it said before is summarised, too, and what
            # follows was thought behind it.
            blocks = turn.answer.blocks
            turn.answer.blocks = {n: blocks[n] for n in blocks if blocks[n].step != turn.step}
            turn.prefixes.pop(turn.step, None)

    def _refuse(self, turn: _Turn, code: str, cause: str | None) -> None:
        """The request was refused. What would be refused for ever is not shown again."""
        if code == Code.CONTEXT_TOO_LONG or cause == "refused":
            turn.is_refused = True
        elif cause == "attachments":
            for untried in self._untried:
                untried.leave_out_attachments()
            self._untried.clear()

    def _leave_out_thinking(self) -> None:
        for turn in self._turns.values():
            turn.leave_out_thinking()

    def _retract(self, from_turn: str) -> None:
        names = list(self._turns)
        if from_turn in self._turns:
            for name in names[names.index(from_turn) :]:
                del self._turns[name]
                self._started.pop(name, None)

    @property
    def shown_bytes(self) -> int:
        """Of the JSON that is kept for requests."""
        return sum(turn.bound.size for turn in self._started.values() if turn.bound is not None)

    @property
    def container(self) -> str | None:
        """The provider's container, where a turn used one."""
        used = (turn.container for turn in reversed(self._started.values()) if turn.container)
        return next(used, None)

    @property
    def context_tokens(self) -> int | None:
        """How long the conversation is by the last count of it; 0 behind a summary, None: unknown.

        The turns that are not shown again were not counted.
        """
        shown = (turn for turn in reversed(self._started.values()) if not turn.is_refused)
        return next((t.context_tokens for t in shown if t.context_tokens is not None), None)

    @property
    def summary(self) -> Summary | None:
        """What stands for the older messages, if anything does."""
        turns = reversed(self._started.values())
        return next((turn.summaries[-1] for turn in turns if turn.summaries), None)

    def last_text(self, turn: str) -> str:
        """The last block of text that the turn has said; empty where there is none."""
        known = self._turns.get(turn)
        blocks = {} if known is None else known.answer.blocks
        texts = (
            block.text
            for _, block in sorted(blocks.items(), reverse=True)
            if block.tool is None and not block.thinks and block.texts
        )
        return next(texts, "")

    def tool_names(self, *, step: int) -> list[str]:
        """The tools that the messages before that step name, in the order of their first call."""
        names: dict[str, None] = {}
        for turn in self._shown(self.summary):
            if turn.final is None:
                names |= _tool_names(turn.segments(before_step=step))
            elif turn.tool_names:
                names |= turn.tool_names
        return list(names)

    def render(
        self,
        head: object,
        *,
        step: int,
        drops_thinking: bool = False,
        ignores_summary: bool = False,
    ) -> Rendered:
        """The messages of all turns started, not void and not refused, behind `head`.

        `head` is what a request shows before its messages: system prompt and tools. Of the turn
        that runs, the messages are those before `step`: what that step has said already is of an
        attempt that failed. `drops_thinking`: show none at all. `ignores_summary`: show all
        messages in its place.
        """
        summary = None if ignores_summary else self.summary
        messages, prefix = _begin(summary, head)
        first = len(messages)
        for shown in self._bound(summary, prefix, step=step, drops_thinking=drops_thinking):
            append(messages, shown.messages, after=first)
            prefix = shown.after
        return Rendered(messages, prefix)

    def older(self, head: object, *, step: int) -> Older | None:
        """What can be summarised before that step; None where nothing is older.

        The private fields of its `compaction` say what it is made of, and what goes on behind it.
        """
        summary = self.summary
        messages, prefix = _begin(summary, head)
        first, of_head = len(messages), digest("", head)
        found: tuple[int, Private] | None = None
        for shown in self._bound(summary, prefix, step=step):
            for segment in shown.segments:
                if segment.role == "assistant" and messages and messages[-1]["role"] == "user":
                    place = {"turn": shown.turn, "step": segment.step}
                    digests = {"head": of_head, "prefix": prefix}
                    found = len(messages), {**place, **digests}
                prefix = digest_behind(prefix, segment)
                message: ApiMessage = {"role": segment.role, "content": segment.content}
                append(messages, [message], after=first)
        return None if found is None else Older(messages[: found[0]], found[1])

    def _shown(self, summary: Summary | None) -> Iterator[_Turn]:
        """The turns that are not wholly summarised, in order."""
        if summary is None:
            yield from self._started.values()
            return
        names: list[str] = []
        for name in reversed(self._started):
            names.append(name)
            if name == summary.turn:
                break
        yield from (self._started[name] for name in reversed(names))

    def _bound(
        self, summary: Summary | None, prefix: str, *, step: int, drops_thinking: bool = False
    ) -> Iterator[Shown]:
        """What each turn shows, behind that summary and this prefix."""
        for turn in self._shown(summary):
            bound = turn.bound
            if bound is None or bound.before != prefix or drops_thinking:
                segments = turn.segments(before_step=step)
                if summary is not None and turn.id == summary.turn:
                    segments = [each for each in segments if each.step >= summary.step]
                bound = show(
                    turn.id, segments, turn.prefixes, prefix, drops_thinking=drops_thinking
                )
                if turn.final is not None and not drops_thinking:
                    turn.bound = bound
            prefix = bound.after
            yield bound


def _begin(summary: Summary | None, head: object) -> tuple[list[ApiMessage], str]:
    """What messages begin with, and the digest of it and of what is before."""
    prefix = digest("", head)
    if summary is None:
        return [], prefix
    return [summary.message], summary.prefix_behind(prefix) or digest(prefix, summary.raw)


def _tool_names(segments: list[Segment]) -> dict[str, None]:
    """The tools that are named there, in the order of their first call."""
    return dict.fromkeys(
        block["name"]
        for segment in segments
        if isinstance(segment.content, list)
        for block in segment.content
        if block["type"] == "tool_use"
    )


def _block(turn: _Turn, number: int) -> BlockParts:
    block = turn.answer.blocks.get(number)
    if block is None:
        block = turn.answer.blocks[number] = BlockParts(turn.step)
    return block
