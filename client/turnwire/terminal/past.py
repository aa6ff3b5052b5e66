"""What was said before, over HTTP: which conversations there are, and what is in one."""

from typing import Any, NotRequired
from urllib.parse import quote, urlencode
from urllib.request import Request

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from turnwire.connection import socket_address
from turnwire.errors import BadServer
from turnwire.http import Http
from turnwire_protocol import Citation, Content

__all__ = ["Head", "Past", "SaidBlock", "SaidTurn"]

MAX_ANSWER_BYTES = 256 * 1024 * 1024
SHOWN_TURNS = 20


class Head(TypedDict):
    """A conversation in the list."""

    conversation: str
    title: str
    updated_at: str


class SaidBlock(TypedDict):
    """A block of an answer, as far as it is shown."""

    type: str
    text: NotRequired[str]
    tool_name: NotRequired[str]
    citations: NotRequired[list[Citation]]


class SaidTurn(TypedDict):
    """A message and what was answered."""

    turn: str
    state: str
    content: NotRequired[Content]
    blocks: list[SaidBlock]
    done: NotRequired[dict[str, Any]]


class _Page(TypedDict):
    conversations: list[Head]


class _Said(TypedDict):
    turns: list[SaidTurn]
    next: NotRequired[str]


_PAGE = TypeAdapter(_Page)
_SAID = TypeAdapter(_Said)


class Past:
    """The conversations at the service."""

    def __init__(self, url: str, token: str | None) -> None:
        self._http = Http(socket_address(url), token)

    async def heads(self, words: str = "", *, limit: int = 10) -> list[Head]:
        """The newest, newest first; with `words`, those whose title contains them.

        Raises:
            Rejected, CannotConnect, ConnectionRefused, BadServer: they cannot be had.
        """
        query = {"limit": limit, **({"q": words} if words else {})}
        page: _Page = _parsed(_PAGE, await self._get(f"?{urlencode(query)}"))
        return page["conversations"]

    async def read(self, conversation: str) -> tuple[list[SaidTurn], bool]:
        """The last turns of a conversation, and whether there are older ones.

        Raises:
            Rejected: there is no such conversation (`unknown_conversation`).
            CannotConnect, ConnectionRefused, BadServer: it cannot be had.
        """
        path = f"/{quote(conversation, safe='')}?last={SHOWN_TURNS}"
        said: _Said = _parsed(_SAID, await self._get(path))
        return said["turns"], "next" in said

    async def export(self, conversation: str, *, as_json: bool) -> bytes:
        """The whole conversation as a file. Raises as `read` does."""
        format = "json" if as_json else "markdown"
        return await self._get(f"/{quote(conversation, safe='')}/export?format={format}")

    async def _get(self, path: str) -> bytes:
        request = Request(f"{self._http.url}/v1/conversations{path}", headers=self._http.headers)
        body = await self._http.ask(request, max_bytes=MAX_ANSWER_BYTES)
        if len(body) > MAX_ANSWER_BYTES:
            raise BadServer(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return body


def _parsed(form: TypeAdapter[Any], body: bytes) -> Any:
    try:
        return form.validate_json(body)
    except ValidationError as error:
        raise BadServer("the answer describes no conversations") from error
