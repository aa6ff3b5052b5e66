"""The front door: `connect` and the wire it opens; knows neither frames nor events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload
from weakref import WeakValueDictionary

from turnwire.backoff import Backoff
from turnwire.blobs import Blobs
from turnwire.catalogue import Catalogue, ConversationHead
from turnwire.connection import socket_address
from turnwire.conversation import Conversation
from turnwire.errors import UsageError
from turnwire.http import Http
from turnwire.runner import Runner
from turnwire.session import Session, State
from turnwire_protocol import Attachment

__all__ = ["Wire", "connect"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Wire:
    """A connection to a Turnwire server that outlives its sockets; used in `async with`."""

    def __init__(self, session: Session, blobs: Blobs, catalogue: Catalogue) -> None:
        self._session = session
        self._blobs = blobs
        self._catalogue = catalogue
        self._runner = Runner(session)
        self._conversations: WeakValueDictionary[str, Conversation] = WeakValueDictionary()

    @property
    def state(self) -> State:
        """How the connection stands at the moment."""
        return self._session.state

    def conversation(self, id: str | None = None) -> Conversation:
        """The conversation with this id, always the same object while it is held; None: a new one,
        which gets its id with the first message."""
        known = None if id is None else self._conversations.get(id)
        if known is not None:
            return known
        conversation = Conversation(
            self._session, self._runner, id, catalogue=self._catalogue, on_born=self._remember
        )
        if id is not None:
            self._conversations[id] = conversation
        return conversation

    def conversations(self, *, query: str | None = None) -> AsyncIterator[ConversationHead]:
        """All conversations of whoever has this token, newest first; with `query`, 1 to 200
        characters, those that have it in their title.

        Raises:
            Rejected: the server does not give them.
            CannotConnect, ConnectionRefused, BadServer: it cannot be asked.
        """
        return self._catalogue.heads(query=query)

    @overload
    def tool(self, function: Function, /) -> Function: ...
    @overload
    def tool(
        self, /, *, name: str | None = None, description: str | None = None
    ) -> Callable[[Function], Function]: ...
    def tool(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> Callable[..., Any]:
        """Let the model call a function of this program: `@wire.tool`, sync or async, with types.

        Every `send` from now on offers it. A call runs here, once, also when the connection breaks
        meanwhile; sync functions run in a thread. The docstring tells the model what it does.
        What it returns goes to the model: text as it is, content blocks (of `upload`) as such,
        other values as JSON; an exception as an error with its text. A parameter of type
        `ToolContext` is filled in. The function itself is returned unchanged.

        Raises:
            BadArgument: it cannot be a tool, or there is one of this name.
        """

        def add(function: Function) -> Function:
            self._runner.add(function, name=name, description=description)
            return function

        return add if function is None else add(function)

    @property
    def is_demo(self) -> bool:
        """Whether no model answers at this service but a simulator: people should be told."""
        return self._session.is_demo

    @property
    def models(self) -> list[str]:
        """The models that a `send` may name here; the first answers where it names none."""
        return self._session.models

    def address_of(self, block: Attachment) -> str:
        """Where the service has an image or document; it wants its token there too."""
        return self._blobs.address_of(block)

    async def upload(
        self, source: bytes | Path, *, media_type: str | None = None, name: str | None = None
    ) -> Attachment:
        """Put in an image or a PDF; gives the block for the content of a message or a result.

        Of a file, name and media type are known by its path; otherwise `media_type` is one of
        image/png, image/jpeg, image/gif, image/webp and application/pdf.

        Raises:
            BadArgument: the file cannot be read, it is larger than the server takes, or of no
                known media type.
            Rejected: the server does not take it.
            CannotConnect, ConnectionRefused, BadServer: it cannot be asked.
        """
        return await self._blobs.upload(
            source, media_type=media_type, name=name, max_bytes=self._session.max_blob_bytes
        )

    async def download(self, block: Attachment) -> bytes:
        """The bytes of an image or document.

        Raises:
            Rejected: there is no such blob (`not_found`).
            CannotConnect, ConnectionRefused, BadServer: it cannot be asked.
        """
        return await self._blobs.download(block)

    async def download_file(self, conversation: str, file: str) -> bytes:
        """A file that a tool of the provider made in this conversation; `ToolResult.files` has ids.

        Raises:
            Rejected: the conversation has no such file, or the provider has it no more
                (`not_found`), it is too large, or cannot be had now.
            CannotConnect, ConnectionRefused, BadServer: it cannot be asked.
        """
        return await self._blobs.download_file(conversation, file)

    def _remember(self, conversation: Conversation) -> None:
        if conversation.id is not None:
            self._conversations.setdefault(conversation.id, conversation)

    async def __aenter__(self) -> Self:
        try:
            asyncio.get_running_loop()
        except RuntimeError as error:
            raise UsageError(
                "turnwire runs on asyncio, which is not what runs here: use asyncio.run, or"
                " turnwire.sync in a thread of its own"
            ) from error
        await self._session.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.close()
        await self._session.close()


def connect(
    url: str,
    token: str | None = None,
    *,
    heal: bool = True,
    open_timeout_seconds: float = 10.0,
    backoff: Backoff | None = None,
) -> Wire:
    """A wire to the service at `url`, opened by `async with`, closed at its end.

    `url` is that of the service (`http://127.0.0.1:8000`, a path prefix is kept) or of its socket
    (`ws://…/v1/ws`). With `heal`, later losses of the connection are mended in the background with
    `backoff`, and iterations simply go on; without, the first loss ends everything.

    Raises:
        BadAddress: at once, if `url` names no service.
        BadArgument: at once, if `token` can be none.
        UsageError: on entering, if no asyncio runs here: trio, say.
        CannotConnect: on entering, if the first connection cannot be made in time.
        ConnectionRefused: on entering, if the answer is no (its `code`, of a missing or wrong
            token: `unauthorized`; of a wrong path: None).
    """
    address = socket_address(url)
    session = Session(
        address,
        token,
        heal=heal,
        open_timeout_seconds=open_timeout_seconds,
        backoff=backoff or Backoff(),
    )
    http = Http(address, token)
    return Wire(session, Blobs(http), Catalogue(http))
