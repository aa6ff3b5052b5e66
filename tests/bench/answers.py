"""What the browser is given to render: answers of one shape each, cut into tokens; no measuring."""

import re
from collections.abc import Iterator
from itertools import count, islice

__all__ = ["SHAPES", "tokens"]

_SENTENCES = (
    "A log is an **append-only** sequence of events, and every reader keeps its own cursor. ",
    "When the network fails, `resume(after)` reads on from there, *without* asking twice. ",
    "The [specification](https://example.com/spec) says what a reader may rely on (and what not). ",
    "Merging is safe because neighbouring deltas of one block are concatenated, never reordered. ",
    "In other words, `seq - span == cursor` holds for each event that is applied & acknowledged. ",
)
_CODE = (
    "def apply(self, event: Event) -> None:",
    "    if event.seq <= self.cursor:",
    "        return  # seen before",
    '    self.turns[event.turn].append({"type": event.type, "span": event.span})',
    "    self.cursor = event.seq",
    "",
)


def _mixed() -> Iterator[str]:
    for part in count(1):
        yield f"## {part}. What is stored\n\n{''.join(_SENTENCES)}\n\n{''.join(_SENTENCES[2:])}\n\n"
        yield "".join(f"- **Point {i}**: the `cursor` moves by *{i}*\n" for i in range(6))
        yield "  - and one nested\n  - and another\n\n"
        yield "```python\n" + "\n".join(_CODE * 3) + "```\n\n"
        yield "| event | field | when |\n|---|:-:|--:|\n"
        yield "".join(f"| `token` {i} | **text** | at {i} ms |\n" for i in range(8))
        yield "\n1. First, read.\n2. Then, apply.\n\n> Quoted: " + _SENTENCES[3] + "\n\n"


def _paragraph() -> Iterator[str]:
    for part in count():
        yield _SENTENCES[part % len(_SENTENCES)]


def _list() -> Iterator[str]:
    for part in count(1):
        yield f"- **Item {part}** of the list, with `code` in it\n"


def _fence() -> Iterator[str]:
    yield "```python\n"
    for part in count():
        yield f"{_CODE[part % len(_CODE)]}\n"


def _table() -> Iterator[str]:
    yield "| number | name | state | remark |\n|--:|---|:-:|---|\n"
    for part in count(1):
        yield f"| {part} | `name_{part}` | **done** | nothing to say |\n"


SHAPES = {
    "mixed": _mixed,
    "paragraph": _paragraph,
    "list": _list,
    "fence": _fence,
    "table": _table,
}


def tokens(shape: str, number: int) -> list[str]:
    """The first tokens of an answer of that shape, of about the length that Claude's have."""
    pieces = (piece for text in SHAPES[shape]() for piece in re.findall(r"\s*\S{1,5}|\s+", text))
    return list(islice(pieces, number))
