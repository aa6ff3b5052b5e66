"""Content for the model, made of what a tool returned or raised; knows no tool and no call."""

from typing import Any, Protocol

from pydantic import TypeAdapter
from pydantic_core import to_json

from turnwire_protocol import Attachment, Content, ContentBlock, TextBlock
from turnwire_server.errors import Rejected

__all__ = ["Shelf", "Shown", "content_of", "said_by", "shown"]

MAX_RESULT_CHARS = 50_000
MAX_ATTACHMENTS = 20
MAX_GROUPED = 5

Shown = str | list[dict[str, Any]]
"""Text, or blocks of the Messages API."""

_REFERENCE: TypeAdapter[Attachment] = TypeAdapter(Attachment)


class Shelf(Protocol):
    """Where images and documents are stored."""

    async def keep(self, owner: str, data: str, media_type: str) -> Attachment:
        """Store what is given as base64.

        Raises:
            ValueError, Rejected: it cannot be stored.
        """

    async def check(self, owner: str, content: Content) -> None:
        """Refuse attachments that are not the owner's.

        Raises:
            Rejected: one is not.
        """


def shown(value: Any) -> Shown:
    """Text as it is, a list of the Messages API's blocks as blocks, anything else as JSON.

    It runs code of what it is given (generators, `__str__`): call it where the tool runs. Raises
    whatever that does.
    """
    if isinstance(value, list) and value and all(_is_block(block) for block in value):
        return value
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value, fallback=str).decode()


async def content_of(shown: Shown, *, owner: str, shelf: Shelf | None) -> Content:
    """What the log holds of it.

    Long text is cut, with a note. Images and documents go to the shelf; what cannot be stored is
    named instead. Never raises for what a tool put into a block.
    """
    if isinstance(shown, list):
        return await _blocks(shown, owner, shelf)
    text = _sendable(shown)
    if len(text) <= MAX_RESULT_CHARS:
        return text
    return f"{text[:MAX_RESULT_CHARS]}\n{_cut_note(len(text) - MAX_RESULT_CHARS)}"


async def said_by(error: BaseException, *, owner: str, shelf: Shelf | None) -> Content:
    """What an exception says; the SDK's `ToolError` carries content for the model.

    Never raises for what the exception does when it is asked.
    """
    said = await content_of(_brought(error), owner=owner, shelf=shelf)
    # The API refuses an error that is empty.
    return said or await content_of(_words(error), owner=owner, shelf=shelf)


def _brought(error: BaseException) -> Shown:
    """The content it brings for the model, or nothing."""
    try:
        content = getattr(error, "content", None)
        return shown(content) if isinstance(content, str | list) and content else ""
    except BaseException:
        # Boundary: the exception is foreign code, and so is its content.
        return ""


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        # Its own text says how many there are, not what they are.
        words = [_words(inner) for inner in error.exceptions[:MAX_GROUPED]]
        left = len(error.exceptions) - len(words)
        return "; ".join([*words, f"and {left} more"] if left else words)
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        # Boundary: as above.
        return f"{type(error).__name__}, which cannot be printed"


async def _blocks(blocks: list[dict[str, Any]], owner: str, shelf: Shelf | None) -> Content:
    made: list[ContentBlock] = []
    left, skipped, attachments = MAX_RESULT_CHARS, 0, 0
    for block in blocks:
        if (text := _text(block)) is None:
            attachments += 1
            problem = f"at most {MAX_ATTACHMENTS} in one result"
            if attachments <= MAX_ATTACHMENTS:
                try:
                    made.append(await _attachment(block, owner, shelf))
                    continue
                except Exception as error:
                    # Boundary: what stands in a block is a tool's.
                    problem = str(error) if isinstance(error, Rejected) else "it is malformed"
            made.append(TextBlock(text=f"[{block['type']} left out: {problem}]"))
            continue
        shown, skipped = text[:left], skipped + max(len(text) - left, 0)
        left -= len(shown)
        if shown.strip():  # The API refuses blank text.
            made.append(TextBlock(text=shown))
    if skipped:
        made.append(TextBlock(text=_cut_note(skipped)))
    return made


async def _attachment(block: dict[str, Any], owner: str, shelf: Shelf | None) -> Attachment:
    """The block as a reference to the shelf.

    Raises:
        ValueError, Rejected: it cannot be one.
    """
    if shelf is None:
        raise ValueError("nothing is stored here")
    if "blob" in block:  # It was stored before: a client's tool has uploaded it.
        reference = _REFERENCE.validate_python(block)
        await shelf.check(owner, [reference])
        return reference
    source = block.get("source")
    if not isinstance(source, dict) or source.get("type") != "base64":
        raise ValueError("its source is not base64")
    return await shelf.keep(owner, str(source.get("data")), str(source.get("media_type")))


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "text":
        return isinstance(block.get("text"), str)
    return block.get("type") in ("image", "document")


def _text(block: dict[str, Any]) -> str | None:
    """The text of a block that is text; the API has documents that are nothing else."""
    if block["type"] == "text":
        return _sendable(block["text"])
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "text":
        return _sendable(str(source.get("data", "")))
    return None


def _sendable(text: str) -> str:
    # Half a surrogate pair (a file name, say) is a Python string but could not be sent.
    return text.encode(errors="replace").decode()


def _cut_note(skipped: int) -> str:
    return f"[cut here: {skipped} more characters]"
