"""A request's list of messages: what was asked, what was answered, and what is asked now."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from turnwire_protocol import Attachment, Code, Content, ContentBlock, DocumentBlock, TextBlock
from turnwire_server.core.past import PastTurn
from turnwire_server.errors import Rejected
from turnwire_server.wires.bounds import MAX_ANSWERS
from turnwire_server.wires.openai.request import ChatMessage, Part

__all__ = ["Keep", "Said", "Talk", "read_talk"]

Keep = Callable[[str, str], Awaitable[Attachment]]
"""(base64, media type) → the block that refers to what was stored.

Raises `ValueError` for what is not base64, and `Rejected`.
"""

_MAX_PAST = 200
"""Turns that a conversation begins with; of a longer list the newest. Each is written anew for each
request without a name, on the loop: a tenth of a millisecond."""
_NAME_CHARS = 200
_DATA = re.compile(
    r"data:([\w.+-]{1,100}/[\w.+-]{1,100})(?:;[\w.=+-]{1,200}){0,8};base64,", re.ASCII
)
"""Bounded, so that nothing is looked for in megabytes."""


@dataclass(slots=True)
class Said:
    """A user's message, and what the list has for an answer."""

    content: Content
    answers: list[str] = field(default_factory=list)
    is_answered: bool = False
    """Also by calls alone."""


@dataclass(slots=True)
class Talk:
    """The list. Its last question is what is asked now, unless it ends with results of tools."""

    system: str | None
    questions: list[Said]
    outputs: dict[str, Content]
    """By `tool_call_id`: results of tools at the very end."""

    @property
    def past(self) -> list[PastTurn]:
        """What a conversation begins with that is to go on with the last question."""
        said = self.questions[:-1][-_MAX_PAST:]
        return [PastTurn(one.content, None, "\n\n".join(one.answers)) for one in said]


async def read_talk(messages: Sequence[ChatMessage], keep: Keep) -> Talk:
    """Read the list.

    Texts of user and assistant are kept, with images and PDFs; what the assistant said before
    anything was asked is not, because the API takes no conversation that begins so, nor are calls
    of tools and their results that have been answered since.

    Raises:
        Rejected: it asks nothing, or shows what cannot be shown.
    """
    system: list[str] = []
    questions: list[Said] = []
    outputs: dict[str, Content] = {}
    last, says = "", True
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        if message.role in ("system", "developer"):
            system.append(_text_of(message))
            continue
        last = message.role
        if last == "tool":
            if message.tool_call_id is None:
                raise Rejected(Code.BAD_COMMAND, f"{where}.tool_call_id: is required")
            if len(outputs) >= MAX_ANSWERS:
                most = f"messages: at most {MAX_ANSWERS} results of tools"
                raise Rejected(Code.BAD_COMMAND, most)
            outputs[message.tool_call_id] = await _content_of(message, keep, where) or ""
            continue
        outputs.clear()
        if last == "user":
            # Blank text the API does not take; a list may hold it.
            content = await _content_of(message, keep, where)
            says = content is not None
            if content is not None:
                questions.append(Said(content))
        elif questions:
            questions[-1].is_answered = True
            if (text := _text_of(message)).strip():
                questions[-1].answers.append(text)
    if not questions:
        raise Rejected(Code.BAD_COMMAND, "messages: a message of the user is required")
    if last == "assistant":
        raise Rejected(Code.BAD_COMMAND, "messages: the last one must be of the user or of a tool")
    if last == "user" and not says:
        raise Rejected(Code.BAD_COMMAND, "messages: the last one says nothing")
    return Talk("\n\n".join(filter(None, system)) or None, questions, outputs)


def _text_of(message: ChatMessage) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n\n".join(part.text for part in message.content if part.text)


async def _content_of(message: ChatMessage, keep: Keep, where: str) -> Content | None:
    """What the message says; None: nothing."""
    parts = message.content
    if parts is None or isinstance(parts, str):
        return parts if parts and parts.strip() else None
    blocks: list[ContentBlock] = []
    for index, part in enumerate(parts):
        if part.type == "text":
            if part.text and part.text.strip():
                blocks.append(TextBlock(text=part.text))
        else:
            blocks.append(await _attachment(part, keep, f"{where}.content.{index}"))
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    if len(texts) == len(blocks):
        # The same message may come as a string another time.
        return "\n\n".join(texts) or None
    return blocks


async def _attachment(part: Part, keep: Keep, where: str) -> Attachment:
    if part.type == "image_url" and part.image_url is not None:
        url, name = part.image_url.url, None
    elif part.type == "file" and part.file is not None and part.file.file_data is not None:
        url, name = part.file.file_data, part.file.filename
    else:
        raise Rejected(Code.BAD_COMMAND, f"{where}.type: text, image_url or file is required")
    match = _DATA.match(url)
    if match is None:
        # Nothing is fetched for a client: it could be anything that this machine can reach.
        raise Rejected(Code.BAD_COMMAND, f"{where}: a data: URL in base64 is required")
    try:
        block = await keep(url[match.end() :], match[1].lower())
    except ValueError as error:
        raise Rejected(Code.BAD_COMMAND, f"{where}: not base64") from error
    if name and isinstance(block, DocumentBlock):
        return block.model_copy(update={"name": name[:_NAME_CHARS]})
    return block
