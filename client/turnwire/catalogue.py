"""The conversations a service keeps, over HTTP: list, name, export, delete; knows no event."""

from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import quote, urlencode
from urllib.request import Request

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from turnwire.errors import BadArgument, BadServer
from turnwire.http import Http

__all__ = ["Catalogue", "ConversationHead", "ExportFormat"]

ExportFormat = Literal["markdown", "json"]

MAX_PAGE_BYTES = 4 * 1024 * 1024
MAX_EXPORT_BYTES = 1024 * 1024 * 1024
PAGE = 100
"""Conversations of one answer."""
MAX_TITLE_CHARACTERS = 200


class ConversationHead(BaseModel):
    """A conversation in the list; times are RFC 3339 in UTC, by the server's clock."""

    model_config = ConfigDict(frozen=True)

    conversation: str
    title: str
    seq: int
    created_at: str
    updated_at: str


class _Page(BaseModel):
    conversations: list[ConversationHead]
    next: str | None = None


class Catalogue:
    """The conversations of whoever has the token with which `http` asks the service."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._url = f"{self._http.url}/v1/conversations"

    async def heads(self, *, query: str | None) -> AsyncIterator[ConversationHead]:
        """See `Wire.conversations`."""
        asked = {"limit": str(PAGE)} | ({} if query is None else {"q": query})
        while True:
            page = await self._page(f"{self._url}?{urlencode(asked, errors='replace')}")
            for head in page.conversations:
                yield head
            if page.next is None:
                return
            asked["before"] = page.next

    async def export(self, conversation: str, format: ExportFormat) -> str:
        """See `Conversation.export`."""
        url = f"{self._address_of(conversation)}/export?{urlencode({'format': format})}"
        document = await self._ask("GET", url, max_bytes=MAX_EXPORT_BYTES)
        if len(document) > MAX_EXPORT_BYTES:
            raise BadServer(f"an export of more than {MAX_EXPORT_BYTES} bytes")
        return document.decode(errors="replace")

    async def rename(self, conversation: str, title: str) -> None:
        """See `Conversation.rename`."""
        if not 1 <= len(title) <= MAX_TITLE_CHARACTERS:
            raise BadArgument(f"title: 1 to {MAX_TITLE_CHARACTERS} characters")
        # Half a surrogate pair could not be sent.
        said = {"title": title.encode(errors="replace").decode()}
        await self._ask("PATCH", self._address_of(conversation), to_json(said))

    async def delete(self, conversation: str) -> None:
        """See `Conversation.delete`."""
        await self._ask("DELETE", self._address_of(conversation))

    async def _page(self, url: str) -> _Page:
        body = await self._ask("GET", url)
        try:
            return _Page.model_validate_json(body)
        except ValidationError as error:
            raise BadServer("the answer is no list of conversations") from error

    async def _ask(
        self, method: str, url: str, data: bytes | None = None, *, max_bytes: int = MAX_PAGE_BYTES
    ) -> bytes:
        body = {} if data is None else {"Content-Type": "application/json"}
        request = Request(url, data, {**self._http.headers, **body}, method=method)
        return await self._http.ask(request, max_bytes=max_bytes)

    def _address_of(self, conversation: str) -> str:
        return f"{self._url}/{quote(conversation, safe='', errors='replace')}"
