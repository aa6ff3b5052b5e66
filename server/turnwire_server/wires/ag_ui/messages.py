"""Folded turns as AG-UI's messages, and their ids. Pure."""

from collections.abc import Iterator

from turnwire_protocol import Block, FoldedTurn, TextBlock, text_of
from turnwire_server.wires.chunk_stream import Chunk

__all__ = ["answer_messages", "message_id", "reasoning_id", "result_id", "user_message"]


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


def user_message(turn: FoldedTurn) -> Chunk:
    """What the turn answers, by the id that the page gave it, if it was a page."""
    id = turn.turn if turn.key is None else turn.key.partition("~")[0]
    return {"id": id, "role": "user", "content": _parts(turn)}


def _parts(turn: FoldedTurn) -> str | list[Chunk]:
    if not isinstance(turn.content, list):
        return turn.content or ""
    return [
        {"type": "text", "text": block.text}
        if isinstance(block, TextBlock)
        else {
            "type": block.type,
            "source": {
                "type": "url",
                "value": f"/v1/blobs/{block.blob}",
                "mimeType": block.media_type,
            },
        }
        for block in turn.content
    ]


def answer_messages(turn: FoldedTurn) -> Iterator[Chunk]:
    """The turn's blocks. A call whose input never came is left out: the page would run it."""
    for block in turn.blocks:
        if block.type == "tool":
            yield from _call_messages(turn.turn, block)
        elif block.text:
            is_text = block.type == "text"
            id = (message_id if is_text else reasoning_id)(turn.turn, block.block)
            yield {
                "id": id,
                "role": "assistant" if is_text else "reasoning",
                "content": block.text,
            }


def _call_messages(turn: str, block: Block) -> Iterator[Chunk]:
    if block.tool is None or not block.complete:
        return
    call = {"name": block.tool.tool_name, "arguments": block.text or "{}"}
    yield {
        "id": message_id(turn, block.block),
        "role": "assistant",
        "toolCalls": [{"id": block.tool.tool_id, "type": "function", "function": call}],
    }
    if block.tool.result is not None:
        yield {
            "id": result_id(block.tool.tool_id),
            "role": "tool",
            "toolCallId": block.tool.tool_id,
            "content": text_of(block.tool.result.content),
        }
