"""The fold: a conversation as its readers see it, from its events; pure.

`FoldedConversation.to_dict()` is the normative form (PROTOCOL.md "The fold"): the conformance
vectors compare it, in Python and in JavaScript.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from turnwire_protocol.citation import Citation
from turnwire_protocol.events import (
    BlockStop,
    Compaction,
    Content,
    Done,
    Error,
    Event,
    Message,
    Retract,
    Retry,
    Rewind,
    Start,
    Step,
    Thinking,
    Token,
    ToolApproval,
    ToolDecision,
    ToolExecuting,
    ToolInput,
    ToolProgress,
    ToolResult,
    ToolStart,
    TotalUsage,
    UnknownEvent,
    Usage,
)

__all__ = ["Block", "FoldedConversation", "FoldedTurn", "ToolCall", "Turns", "fold"]

BlockType = Literal["text", "thinking", "tool", "compaction"]
ToolState = Literal["announced", "waiting", "executing", "done"]

_RETRY = ("attempt", "delay_seconds", "code", "message", "request_id")
_ERROR = ("code", "message", "retryable", "retry_after_seconds", "request_id")
_DONE = ("stop_reason", "steps", "duration_ms", "cost_usd", "refusal", "stop_sequence", "output")
TurnState = Literal["queued", "running", "done"]


@dataclass(slots=True)
class ToolCall:
    """A tool call of the answer: announced, perhaps waiting for a decision, executing, done."""

    tool_id: str
    tool_name: str
    runs_on: str
    state: ToolState = "announced"
    input: dict[str, Any] | None = None
    runner: str | None = None
    approval: ToolApproval | None = None
    decision: ToolDecision | None = None
    progress: ToolProgress | None = None
    result: ToolResult | None = None

    def apply(
        self, event: ToolApproval | ToolDecision | ToolExecuting | ToolProgress | ToolResult
    ) -> None:
        """Change by the next event of this call."""
        match event:
            case ToolApproval():
                self.state, self.approval, self.input = "waiting", event, event.input
            case ToolDecision():
                self.decision = event
                self.input = self.input if event.input is None else event.input
            case ToolExecuting():
                self.state, self.input, self.runner = "executing", event.input, event.runner
            case ToolProgress():
                self.progress = event
            case ToolResult():
                self.state, self.result = "done", event

    def to_dict(self) -> dict[str, Any]:
        """The normative form: of each event, the fields that tell more than the call itself."""
        return _present(
            tool_id=self.tool_id,
            tool_name=self.tool_name,
            runs_on=self.runs_on,
            state=self.state,
            input=self.input,
            runner=self.runner,
            expires_at=self.approval and self.approval.expires_at,
            decision=self.decision and self.decision.decision,
            reason=self.decision and self.decision.reason,
            progress=self.progress and _fields(self.progress, "message", "fraction"),
            result=self.result
            and _fields(self.result, "content", "is_error", "duration_ms", "files"),
        )


@dataclass(slots=True, eq=False)
class Block:
    """A content block of the answer. `text` of a tool block is its input, as far as it has come;
    that of a compaction is the summary."""

    block: int
    type: BlockType
    complete: bool = False
    tool: ToolCall | None = None
    citations: list[Citation] | None = None
    _pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What has been streamed of it; joined on demand, so that appending stays linear."""
        if len(self._pieces) > 1:
            self._pieces[:] = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def __eq__(self, other: object) -> bool:
        # Not by the pieces: how the text was cut, and whether it was read, is no difference.
        if not isinstance(other, Block):
            return NotImplemented
        return (self.block, self.type, self.complete, self.tool, self.citations, self.text) == (
            other.block,
            other.type,
            other.complete,
            other.tool,
            other.citations,
            other.text,
        )

    __hash__ = None  # type: ignore[assignment]

    def append(self, piece: str) -> None:
        """A delta of this block."""
        self._pieces.append(piece)

    def to_dict(self) -> dict[str, Any]:
        """The normative form."""
        form: dict[str, Any] = {"block": self.block, "type": self.type, "complete": self.complete}
        form["partial_json" if self.type == "tool" else "text"] = self.text
        if self.citations is not None:
            form["citations"] = [each.model_dump(exclude_none=True) for each in self.citations]
        return form | (self.tool.to_dict() if self.tool else {})


@dataclass(slots=True)
class FoldedTurn:
    """One user message and everything done to answer it."""

    turn: str
    state: TurnState = "queued"
    content: Content | None = None
    key: str | None = None
    at: str | None = None
    model: str | None = None
    step: int = 0
    attempt: int = 0
    compacting: Literal[True] | None = None
    """Older messages are being summarised."""
    blocks: list[Block] = field(default_factory=list)
    usage: Usage | None = None
    context: Usage | None = None
    """The last counts that tell how full the model's window is."""
    retry: Retry | None = None
    error: Error | None = None
    done: Done | None = None

    @property
    def text(self) -> str:
        """The answer's text blocks, joined."""
        return "".join(block.text for block in self.blocks if block.type == "text")

    def apply(self, event: Event) -> None:
        """Change by the next event of this turn."""
        match event:
            case Token():
                self._block(event.block, "text").append(event.text)
            case Thinking():
                self._block(event.block, "thinking").append(event.text)
            case ToolInput():
                self._block(event.block, "tool").append(event.partial_json)
            case Message():
                self.content, self.key, self.at = event.content, event.key, event.at
            case Start():
                self.state, self.model = "running", event.model
            case Step():
                self.step, self.attempt, self.model = event.step, event.attempt, event.model
                self.retry, self.compacting = None, event.compacts
            case ToolStart():
                block = self._block(event.block, "tool")
                block.tool = ToolCall(event.tool_id, event.tool_name, event.runs_on)
            case BlockStop():
                for block in self.blocks:
                    if block.block == event.block:
                        block.complete, block.citations = True, event.citations
            case Compaction():
                self.compacting = None
                block = self._block(event.block, "compaction")
                block.append(event.summary)
                block.complete = True
            case ToolApproval() | ToolDecision() | ToolExecuting() | ToolProgress() | ToolResult():
                for block in self.blocks:
                    if block.tool and block.tool.tool_id == event.tool_id:
                        block.tool.apply(event)
            case Usage():
                self.usage = event
                self.model = event.model or self.model
                self.context = self.context if event.context_tokens is None else event
            case Retry():
                self.retry = event
            case Rewind():
                self.blocks = [block for block in self.blocks if block.block < event.block]
            case Error():
                self.error = event
            case Done():
                self.state, self.done = "done", event
                self.retry = self.compacting = None

    def _block(self, number: int, kind: BlockType) -> Block:
        for block in reversed(self.blocks):
            if block.block == number:
                return block
        self.blocks.append(block := Block(number, kind))
        return block

    def to_dict(self) -> dict[str, Any]:
        """The normative form; `usage` is the total once done, until then the attempt's."""
        content = self.content
        if isinstance(content, list):
            content_form: Any = [block.model_dump() for block in content]
        else:
            content_form = content
        counted: Usage | TotalUsage | None = self.done.usage if self.done else self.usage
        return _present(
            turn=self.turn,
            state=self.state,
            content=content_form,
            key=self.key,
            at=self.at,
            model=self.model,
            step=self.step or None,
            attempt=self.attempt or None,
            compacting=self.compacting,
            blocks=[block.to_dict() for block in self.blocks],
            usage=counted and _fields(counted, *TotalUsage.model_fields),
            context=self.context and _context(self.context),
            retry=self.retry and _fields(self.retry, *_RETRY),
            error=self.error and _fields(self.error, *_ERROR),
            done=self.done and _fields(self.done, *_DONE),
        )


class Turns(Sequence[FoldedTurn]):
    """Turns in the order of their messages, by place (`turns[-1]`) and by id (`turns["t_1"]`).

    `in` takes either a turn or an id; iterating gives the turns.
    """

    def __init__(self) -> None:
        self._list: list[FoldedTurn] = []
        self._by_id: dict[str, FoldedTurn] = {}

    @overload
    def __getitem__(self, which: int | str) -> FoldedTurn: ...
    @overload
    def __getitem__(self, which: slice) -> list[FoldedTurn]: ...
    def __getitem__(self, which: int | str | slice) -> FoldedTurn | list[FoldedTurn]:
        return self._by_id[which] if isinstance(which, str) else self._list[which]

    def get(self, turn: str) -> FoldedTurn | None:
        """The turn of this id; None if it is not here, or void."""
        return self._by_id.get(turn)

    @property
    def ids(self) -> list[str]:
        """The turns' ids, in order."""
        return list(self._by_id)

    def __len__(self) -> int:
        return len(self._list)

    def __iter__(self) -> Iterator[FoldedTurn]:
        return iter(self._list)

    def __contains__(self, which: object) -> bool:
        return which in self._by_id if isinstance(which, str) else which in self._list

    def __eq__(self, other: object) -> bool:
        return self._list == other._list if isinstance(other, Turns) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Turns({self._list!r})"

    def add(self, turn: str) -> FoldedTurn:
        """A new turn, behind the others."""
        self._list.append(added := FoldedTurn(turn))
        self._by_id[turn] = added
        return added

    def void(self, from_turn: str) -> None:
        """This turn and all after it are no more, if it is here."""
        if from_turn in self._by_id:
            place = self.ids.index(from_turn)
            for turn in self._list[place:]:
                del self._by_id[turn.turn]
            del self._list[place:]

    def clear(self) -> None:
        """All turns are no more."""
        self._list.clear()
        self._by_id.clear()


@dataclass(slots=True)
class FoldedConversation:
    """All turns that are not void, in the order of their messages, up to `seq`."""

    seq: int = 0
    turns: Turns = field(default_factory=Turns)

    def apply(self, event: Event) -> None:
        """Change by the next event, which the caller has judged with its cursor.

        Events of a turn whose message was never seen (a tail) make the turn all the same.
        """
        self.seq = event.seq
        if isinstance(event, UnknownEvent):
            return
        if isinstance(event, Retract):
            self.turns.void(event.from_turn)
            return
        (self.turns.get(event.turn) or self.turns.add(event.turn)).apply(event)

    def to_dict(self) -> dict[str, Any]:
        """The normative form."""
        return {"seq": self.seq, "turns": [turn.to_dict() for turn in self.turns]}


def fold(events: Iterable[Event]) -> FoldedConversation:
    """The conversation that the events, in order, make."""
    conversation = FoldedConversation()
    for event in events:
        conversation.apply(event)
    return conversation


def _fields(event: Any, *names: str) -> dict[str, Any]:
    form: dict[str, Any] = event.model_dump(include=set(names), exclude_none=True)
    return form


def _context(usage: Usage) -> dict[str, Any]:
    return _present(tokens=usage.context_tokens, window=usage.context_window)


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
