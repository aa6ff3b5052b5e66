"""Receipts: what is told of a command that took effect, and what the telling waits for."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any

from turnwire_protocol import Ack
from turnwire_server.core.log.follower import Follower

__all__ = ["Accepted", "OnceAwaited", "Receipt"]


@dataclass(slots=True, frozen=True)
class Accepted:
    """A send took effect. Its ack may go out once `durable` is done."""

    ack: Ack
    durable: asyncio.Future[None]
    """Raises `Rejected` where the store could not take the message: it had no effect then."""
    follow: Callable[[Callable[[], None]], Follower]
    """Follow the conversation from the ack's `after`; the argument is the waker."""
    done_seq: int | None
    """The seq of the turn's `done`, where a repeated key found it done already."""


@dataclass(slots=True, frozen=True)
class Receipt:
    """A command took effect. Its ack may go out once `durable` is done."""

    ack: Ack
    durable: Awaitable[None] | None = None
    """None: at once. Raises `Rejected` where it took no effect after all."""


@dataclass(slots=True, frozen=True)
class OnceAwaited:
    """What a receipt waits for, begun where it is awaited. A coroutine would have to be awaited,
    and whoever asked may be gone before they wait for their ack."""

    work: Callable[[], Coroutine[Any, Any, None]]

    def __await__(self) -> Generator[Any, Any, None]:
        return self.work().__await__()
