"""Folded turns as AG-UI's messages, and their ids. Pure."""

from collections.abc import Iterator

from turnwire_protocol import Block, FoldedTurn, Link, TextBlock, ToolCall, text_of
from turnwire_server.wires.chunk_stream import Chunk

__all__ = [
    "CUT_OFF",
    "answer_messages",
    "message_id",
    "reasoning_id",
    "result_id",
    "user_message",
]

CUT_OFF = "Not run: the answer was cut off."
"""The result of a call whose input did not come to its end. The log has none: the model is not
shown such a call. A page that has one without a result runs it, if the tool is its own."""


def message_id(turn: str, block: int) -> str:
    """The id of the message that a block of text, or a tool call, is on the page."""
    return f"{turn}.{block}"


def reasoning_id(turn: str, block: int) -> str:
    """The same of a block of thinking. Another one: an attempt that is made again may begin with
    text, and the clients add that to whatever message has the id."""
    return f"{turn}.{block}.thinking"


def result_id(tool_id: str) -> str:
    """The id of the message that holds a call's result, unless it is the page's own."""
    return f"{tool_id}.result"


def user_message(turn: FoldedTurn, *, blobs: str) -> Chunk:
    """What the turn answers, by the id that the page gave it, if it was a page.

    `blobs` is where the page finds blobs.
    """
    id = turn.turn if turn.key is None else turn.key.partition("~")[0]
    return {"id": id, "role": "user", "content": _parts(turn, blobs)}


def _parts(turn: FoldedTurn, blobs: str) -> str | list[Chunk]:
    if not isinstance(turn.content, list):
        return turn.content or ""
    return [
        {"type": "text", "text": text_of([block])}
        if isinstance(block, TextBlock | Link)
        else {
            "type": block.type,
            "source": {
                "type": "url",
                "value": f"{blobs}/{block.blob}",
                "mimeType": block.media_type,
            },
        }
        for block in turn.content
    ]


def answer_messages(turn: FoldedTurn) -> Iterator[Chunk]:
    """The turn's blocks, as the page has them when all of them have been streamed."""
    text: Chunk | None = None
    for block in turn.blocks:
        if block.type == "text":
            if block.text and text is not None:
                # Where the model cites, it splits sentences.
                text["content"] += block.text
            elif block.text:
                id = message_id(turn.turn, block.block)
                text = {"id": id, "role": "assistant", "content": block.text}
            continue
        if text is not None:
            yield text
            text = None
        if block.tool is not None:
            yield from _call_messages(message_id(turn.turn, block.block), block, block.tool)
        elif block.text and block.type == "thinking":
            id = reasoning_id(turn.turn, block.block)
            yield {"id": id, "role": "reasoning", "content": block.text}
    if text is not None:
        yield text


def _call_messages(id: str, block: Block, tool: ToolCall) -> Iterator[Chunk]:
    function = {"name": tool.tool_name, "arguments": block.text or "{}"}
    call = {"id": tool.tool_id, "type": "function", "function": function}
    yield {"id": id, "role": "assistant", "toolCalls": [call]}
    if tool.result is not None or not block.complete:
        yield {
            "id": result_id(tool.tool_id),
            "role": "tool",
            "toolCallId": tool.tool_id,
            "content": CUT_OFF if tool.result is None else text_of(tool.result.content),
        }
