"""History: the log folded into the messages the model is shown. Pure, incremental."""

from dataclasses import dataclass, field

from turnwire_protocol import (
    BlockStop,
    Code,
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
from turnwire_server.core.history.answer import Answer, BlockParts, api_content, without_attachments
from turnwire_server.core.log.items import DeltaRun, Entry, Item
from turnwire_server.model.port import ApiMessage

__all__ = ["History"]

_REFUSALS = (Code.INVALID_REQUEST, Code.CONTEXT_TOO_LONG)


@dataclass(slots=True)
class _Turn:
    content: Content
    step: int = 0
    answer: Answer = field(default_factory=Answer)
    container: str | None = None
    final: list[ApiMessage] | None = None
    """Its messages, once it is done: they change only where `_refuse` says."""
    is_text_only: bool = False
    """Its attachments are left out."""


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

    def _apply(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, Message):
            self._turns[event.turn] = _Turn(event.content)
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
                self._untried.append(turn)
            case Step():
                turn.step = event.step
            case ToolStart():
                _block(turn, event.block).tool = event
            case BlockStop():
                block = _block(turn, event.block)
                block.complete, block.raw = True, entry.private
            case Rewind():
                blocks = turn.answer.blocks
                turn.answer.blocks = {n: blocks[n] for n in blocks if n < event.block}
            case ToolResult():
                turn.answer.results[event.tool_id] = event
                self._untried.append(turn)
            case Usage():
                # The model has begun to answer: it took what it was shown.
                self._untried.clear()
                turn.container = (entry.private or {}).get("container") or turn.container
            case Error() if event.code in _REFUSALS:
                self._refuse()
            case Done():
                refused = event.stop_reason == StopReason.REFUSAL
                turn.final = [] if refused else _messages(turn, ended=True)
                turn.answer = Answer()

    def _refuse(self) -> None:
        """The model refused the request: what is new in it may be the cause, for ever after.

        Texts cannot be. Attachments can, by their size or content, and are left out from now on.
        """
        for turn in self._untried:
            turn.is_text_only = True
            if turn.final is not None:
                turn.final = [without_attachments(message) for message in turn.final]
        self._untried.clear()

    def _retract(self, from_turn: str) -> None:
        names = list(self._turns)
        if from_turn in self._turns:
            for name in names[names.index(from_turn) :]:
                del self._turns[name]
                self._started.pop(name, None)

    @property
    def container(self) -> str | None:
        """The provider's container, where a turn used one."""
        used = (turn.container for turn in reversed(self._started.values()) if turn.container)
        return next(used, None)

    def messages(self) -> list[ApiMessage]:
        """The messages of all turns started, not void and not refused, in the Messages API's form.

        Of a turn that runs these are for the step that has begun: what it has said already is of an
        attempt that failed. Parts are shared between calls: callers do not change them.
        """
        messages: list[ApiMessage] = []
        for turn in self._started.values():
            messages += _messages(turn, ended=False) if turn.final is None else turn.final
        return messages


def _block(turn: _Turn, number: int) -> BlockParts:
    block = turn.answer.blocks.get(number)
    if block is None:
        block = turn.answer.blocks[number] = BlockParts(turn.step)
    return block


def _messages(turn: _Turn, *, ended: bool) -> list[ApiMessage]:
    content = turn.content
    if not isinstance(content, str):
        # The API refuses blank text.
        content = [b for b in content if not isinstance(b, TextBlock) or b.text.strip()]
    answer = turn.answer.messages(before_step=None if ended else turn.step)
    message: ApiMessage = {"role": "user", "content": api_content(content)}
    messages = [message, *answer]
    return [without_attachments(m) for m in messages] if turn.is_text_only else messages
