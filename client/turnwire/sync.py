"""The client without `async`, for scripts and notebooks: `from turnwire.sync import connect`.

An event loop in a thread of its own does what `turnwire` does; here is only who waits for it. So it
works inside a running loop too, as in a notebook: it holds that loop up, like any call that waits.
"""

from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from turnwire import wire as asynchronous
from turnwire.backoff import Backoff
from turnwire.catalogue import ConversationHead
from turnwire.conversation import Conversation as AsyncConversation
from turnwire.loop import Loop
from turnwire.reply import OutputT, Reply
from turnwire.session import State
from turnwire.turn import CancelOutcome
from turnwire.turn import Turn as AsyncTurn
from turnwire_protocol import Event, FoldedConversation, Reset

__all__ = ["Conversation", "Turn", "Wire", "connect"]

ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")
InnerT = TypeVar("InnerT")


class _Outer(Generic[InnerT]):
    """Who waits for what `inner` does in the loop."""

    def __init__(self, inner: InnerT, loop: Loop) -> None:
        self._inner = inner
        self._loop = loop


def _waiting(
    method: Callable[Concatenate[InnerT, ParametersT], Coroutine[Any, Any, ResultT]],
) -> Callable[Concatenate[_Outer[InnerT], ParametersT], ResultT]:
    """The method of the inner object, waited for."""

    @wraps(method)
    def wait(
        self: _Outer[InnerT], /, *args: ParametersT.args, **kwargs: ParametersT.kwargs
    ) -> ResultT:
        return self._loop.run(method(self._inner, *args, **kwargs))

    return wait


def _sending(
    method: Callable[
        Concatenate[AsyncConversation, ParametersT], Coroutine[Any, Any, AsyncTurn[OutputT]]
    ],
) -> Callable[Concatenate["Conversation", ParametersT], "Turn[OutputT]"]:
    """The same of a method that begins a turn."""

    @wraps(method)
    def send(
        self: "Conversation", /, *args: ParametersT.args, **kwargs: ParametersT.kwargs
    ) -> "Turn[OutputT]":
        return Turn(self._loop.run(method(self._inner, *args, **kwargs)), self._loop)

    return send


class Turn(_Outer[AsyncTurn[OutputT]], Generic[OutputT]):
    """One message sent and its answer; see `turnwire.Turn`, of which `await turn` is `reply()`."""

    @property
    def id(self) -> str:
        """The turn's id."""
        return self._inner.id

    @property
    def conversation(self) -> str:
        """The conversation's id."""
        return self._inner.conversation

    @property
    def rewound(self) -> bool:
        """Whether an iteration has passed a `rewind`."""
        return self._inner.rewound

    def __iter__(self) -> Iterator[Event]:
        """The turn's events from its first to its `done`."""
        return self._loop.each(aiter(self._inner))

    @property
    def text_stream(self) -> Iterator[str]:
        """The answer's text as it comes."""
        return self._loop.each(self._inner.text_stream)

    def reply(self) -> Reply[OutputT]:
        """The reply, once the turn is done; raises what awaiting a `turnwire.Turn` does."""

        async def wait() -> Reply[OutputT]:
            return await self._inner

        return self._loop.run(wait())

    def cancel(self) -> CancelOutcome:
        """Stop the turn; what has come of the answer stays."""
        return self._loop.run(self._inner.cancel())


class Conversation(_Outer[AsyncConversation]):
    """One conversation; its methods are those of `turnwire.Conversation`, waited for."""

    @property
    def id(self) -> str | None:
        """The id; None until the first `send` of a new conversation."""
        return self._inner.id

    @property
    def state(self) -> FoldedConversation:
        """The turns as they stand; they change while a turn runs. Do not change them."""
        return self._inner.state

    send = _sending(AsyncConversation.send)
    edit = _sending(AsyncConversation.edit)
    regenerate = _sending(AsyncConversation.regenerate)
    cancel = _waiting(AsyncConversation.cancel)
    decide = _waiting(AsyncConversation.decide)
    tool_output = _waiting(AsyncConversation.tool_output)
    load = _waiting(AsyncConversation.load)
    export = _waiting(AsyncConversation.export)
    rename = _waiting(AsyncConversation.rename)
    delete = _waiting(AsyncConversation.delete)

    def follow(
        self, after: int = 0, *, epoch: str | None = None, live: bool = True
    ) -> Iterator[Event | Reset]:
        """All events after `after`: as they come, or, with `live=False`, those there are."""
        return self._loop.each(self._inner.follow(after, epoch=epoch, live=live))


class Wire(_Outer[asynchronous.Wire]):
    """A connection that stands until `close`, the end of its `with`, or that of the program."""

    @property
    def state(self) -> State:
        """How the connection stands at the moment."""
        return self._inner.state

    @property
    def is_demo(self) -> bool:
        """Whether no model answers at this service but a simulator."""
        return self._inner.is_demo

    def conversation(self, id: str | None = None) -> Conversation:
        """The conversation with this id; None: a new one."""
        return Conversation(self._inner.conversation(id), self._loop)

    def conversations(self, *, query: str | None = None) -> Iterator[ConversationHead]:
        """All conversations, newest first; with `query` those that have it in their title."""
        return self._loop.each(self._inner.conversations(query=query))

    @property
    def tool(self) -> Callable[..., Any]:
        """See `turnwire.Wire.tool`: `@wire.tool`. The function runs in a thread of its own."""
        return self._inner.tool

    upload = _waiting(asynchronous.Wire.upload)
    download = _waiting(asynchronous.Wire.download)
    download_file = _waiting(asynchronous.Wire.download_file)

    def close(self) -> None:
        """Leave; what still waits raises `WireClosed`. Idempotent."""
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    url: str,
    token: str | None = None,
    *,
    heal: bool = True,
    open_timeout_seconds: float = 10.0,
    backoff: Backoff | None = None,
) -> Wire:
    """A wire to the service at `url`, open at once; see `turnwire.connect`.

    Raises:
        BadAddress: `url` names no service.
        CannotConnect, ConnectionRefused: nobody answers, or the answer is no.
    """
    inner = asynchronous.connect(
        url, token, heal=heal, open_timeout_seconds=open_timeout_seconds, backoff=backoff
    )
    loop = Loop()
    loop.closes(lambda: inner.__aexit__(None, None, None))
    try:
        loop.run(inner.__aenter__())
    except BaseException:
        loop.close()
        raise
    return Wire(inner, loop)
