"""A folded conversation as a document to keep: Markdown. Pure."""

import re

from turnwire_protocol import (
    Block,
    FoldedConversation,
    FoldedTurn,
    Source,
    Sources,
    noted,
    text_of,
)

__all__ = ["to_markdown"]


def to_markdown(title: str, conversation: FoldedConversation) -> str:
    """The whole conversation, questions and answers in turn, as one Markdown document."""
    parts = [f"# {title or 'Conversation'}"]
    for turn in conversation.turns:
        at = f" · {turn.at}" if turn.at else ""
        parts += [f"## You{at}", text_of(turn.content or ""), f"## {turn.model or 'Claude'}"]
        parts += _answer(turn)
        parts += _end(turn)
    return "\n\n".join(parts) + "\n"


def _answer(turn: FoldedTurn) -> list[str]:
    """Its blocks. Neighbouring texts are one; what they cite is in notes, named as the turn is so
    that no two answers have the same.
    """
    sources, parts, text = Sources(), list[str](), ""
    mark = f"[^{re.sub('[^a-zA-Z0-9]', '-', turn.turn)}-{{}}]"
    for block in turn.blocks:
        if block.type == "text":
            text += noted(block.text, sources.numbers(block.citations), mark)
            continue
        parts += [text.strip(), _block(block)]
        text = ""
    notes = [f"{mark.format(each.number)}: {_source(each)}" for each in sources]
    return [part for part in (*parts, text.strip(), "\n".join(notes)) if part]


def _source(source: Source) -> str:
    """On one line."""
    words = re.sub(r"([\\\[\]<>*_`])", r"\\\1", " ".join(source.title.split()))
    if source.url is None:
        return words
    address = re.sub(r"[<>\\]", lambda found: f"%{ord(found[0]):02X}", source.url)
    return f"[{words}](<{address}>)"


def _block(block: Block) -> str:
    if block.type == "thinking":
        return _details("Thinking", block.text.strip())
    if block.type == "compaction":
        return _details("Summary of what was said before", block.text.strip())
    if block.tool is None:
        return ""
    result = block.tool.result
    shown = "" if result is None else f"\n\n{_fence(text_of(result.content))}"
    failed = " (failed)" if result is not None and result.is_error else ""
    return _details(f"Tool: {block.tool.tool_name}{failed}", _fence(block.text) + shown)


def _end(turn: FoldedTurn) -> list[str]:
    if turn.error is not None:
        return [f"*Failed: {turn.error.message}*"]
    if turn.done is None or turn.done.stop_reason == "end_turn":
        return []
    return [f"*Ended: {turn.done.stop_reason}*"]


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def _fence(text: str) -> str:
    # A fence longer than any in the text (CommonMark §4.5).
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
