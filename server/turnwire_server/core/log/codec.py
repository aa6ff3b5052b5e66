"""The stored form of a log's items: JSON, one array a row.

Each element holds the event as on the wire, `private` beside it, and `parts`, the lengths (in code
points) of the texts that a run was merged from, so that a cursor inside it is cut exactly there.
"""

from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json, to_json

from turnwire_protocol import MAX_MERGED_BYTES, Thinking, Token, ToolInput, parse_event
from turnwire_server.core.log.items import ENTRY_BYTES, DeltaRun, Entry, Item, coalesce
from turnwire_server.errors import Unreadable
from turnwire_server.store.port import Row

__all__ = ["dump", "join", "load"]


def dump(items: Iterable[Item], texts: Iterable[str] | None = None) -> bytes:
    """The stored form of a batch; `texts` are the items' `encoded()`, where somebody has them."""
    texts = (item.encoded() for item in items) if texts is None else texts
    rows = ",".join(_row_text(item, text) for item, text in zip(items, texts, strict=True))
    return f"[{rows}]".encode()


def _row_text(item: Item, text: str) -> str:
    if isinstance(item, DeltaRun):
        parts = ",".join([str(len(part)) for part in item.texts])
        return f'{{"event":{text},"parts":[{parts}]}}'
    if item.private is not None:
        return f'{{"event":{text},"private":{to_json(item.private).decode()}}}'
    return f'{{"event":{text}}}'


def load(body: bytes) -> list[Item]:
    """The items of a stored batch.

    Raises:
        Unreadable: it is none.
    """
    try:
        return [_item(row) for row in from_json(body)]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # Whatever JSON may stand there in place of ours. What it is may be somebody's words.
        raise Unreadable(f"a stored row is no batch of events ({type(error).__name__})") from error


def _item(row: dict[str, Any]) -> Item:
    event = parse_event(row["event"])
    if "parts" in row and isinstance(event, Token | Thinking | ToolInput):
        return _run(event, row["parts"])
    return Entry(event, row.get("private"))


def join(bodies: list[bytes]) -> list[Row]:
    """The same items in as few rows as makes sense: a row is read whole, so it stays bounded."""
    rows: list[Row] = []
    batch: list[Item] = []
    size = 0
    for item in coalesce(item for body in bodies for item in load(body)):
        batch.append(item)
        size += item.size if isinstance(item, DeltaRun) else ENTRY_BYTES
        if size >= MAX_MERGED_BYTES:
            rows.append(_row(batch))
            batch, size = [], 0
    if batch:
        rows.append(_row(batch))
    return rows


def _row(items: list[Item]) -> Row:
    return Row(items[0].first_seq, items[-1].last_seq, dump(items))


def _run(event: Token | Thinking | ToolInput, parts: list[int]) -> DeltaRun:
    text = event.partial_json if isinstance(event, ToolInput) else event.text
    texts, start = [], 0
    for length in parts:
        texts.append(text[start : start + length])
        start += length
    if start != len(text) or not texts:
        raise ValueError("its parts are not its text")
    return DeltaRun(
        type(event),
        conversation=event.conversation,
        turn=event.turn,
        block=event.block,
        tool_id=event.tool_id if isinstance(event, ToolInput) else None,
        first_seq=event.seq - len(parts) + 1,
        texts=texts,
    )
