"""What was said last in a conversation, over HTTP, without reading it from its beginning."""

from typing import Any, NotRequired
from urllib.parse import quote
from urllib.request import Request

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from turnwire.connection import socket_address
from turnwire.errors import BadServer
from turnwire.http import Http
from turnwire_protocol import Citation, Content

__all__ = ["Past", "SaidBlock", "SaidTurn"]

MAX_ANSWER_BYTES = 256 * 1024 * 1024
SHOWN_TURNS = 20


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


class _Said(TypedDict):
    turns: list[SaidTurn]
    next: NotRequired[str]


_SAID = TypeAdapter(_Said)


class Past:
    """Of the conversations at the service."""

    def __init__(self, url: str, token: str | None) -> None:
        self._http = Http(socket_address(url), token)

    async def read(self, conversation: str) -> tuple[list[SaidTurn], bool]:
        """The last turns of a conversation, and whether there are older ones.

        Raises:
            Rejected: there is no such conversation (`unknown_conversation`).
            CannotConnect, ConnectionRefused, BadServer: it cannot be had.
        """
        # Half a surrogate pair, which can be typed, cannot be sent.
        id = quote(conversation, safe="", errors="replace")
        path = f"/v1/conversations/{id}?last={SHOWN_TURNS}"
        request = Request(f"{self._http.url}{path}", headers=self._http.headers)
        body = await self._http.ask(request, max_bytes=MAX_ANSWER_BYTES)
        try:
            said = _SAID.validate_json(body)
        except ValidationError as error:
            raise BadServer("the answer describes no conversation") from error
        return said["turns"], "next" in said
