"""The merge rule: neighbouring deltas of one block are one delta."""

from collections.abc import Iterable

from turnwire_protocol.events import Event, Thinking, Token, ToolInput

__all__ = ["MAX_MERGED_BYTES", "merge"]

MAX_MERGED_BYTES = 64 * 1024
"""How much UTF-8 text one merged event carries at most; a single longer delta stays as it is."""


def merge(events: Iterable[Event]) -> list[Event]:
    """The same events with each run of mergeable deltas joined.

    Texts concatenate, `seq` is the last, `span` the sum. Nothing else merges.
    """
    merged: list[Event] = []
    run: list[Thinking | Token | ToolInput] = []
    size = 0
    for event in events:
        if not isinstance(event, Thinking | Token | ToolInput):
            _close(run, merged)
            merged.append(event)
            continue
        length = len(_text(event).encode())
        if run and not (_continues(run[-1], event) and size + length <= MAX_MERGED_BYTES):
            _close(run, merged)
        if not run:
            size = 0
        run.append(event)
        size += length
    _close(run, merged)
    return merged


def _continues(before: Thinking | Token | ToolInput, event: Thinking | Token | ToolInput) -> bool:
    return (
        before.type == event.type
        and before.turn == event.turn
        and before.block == event.block
        and before.conversation == event.conversation
        and before.seq == event.seq - event.span
    )


def _close(run: list[Thinking | Token | ToolInput], merged: list[Event]) -> None:
    if not run:
        return
    field = "partial_json" if isinstance(run[0], ToolInput) else "text"
    update = {
        "seq": run[-1].seq,
        "span": sum(event.span for event in run),
        field: "".join(map(_text, run)),
    }
    merged.append(run[0].model_copy(update=update) if len(run) > 1 else run[0])
    run.clear()


def _text(event: Thinking | Token | ToolInput) -> str:
    return event.partial_json if isinstance(event, ToolInput) else event.text
