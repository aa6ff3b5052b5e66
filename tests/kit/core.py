"""The core of a service, without transports and in the test's own process, and a reader of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import from_json

from tests.kit.fence import fence_of
from turnwire_protocol import Code, Event, parse_event
from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.core.log.committer import Committer
from turnwire_server.core.log.follower import Follower, Frame
from turnwire_server.core.turn.options import Policy
from turnwire_server.core.turn.services import Services
from turnwire_server.errors import ModelError
from turnwire_server.model.port import (
    BlockEnd,
    Context,
    Model,
    ModelRequest,
    Part,
    ProviderFile,
    Stop,
    TextPart,
)
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Store
from turnwire_server.tools.toolset import Toolset

__all__ = ["ANNA", "HeldModel", "Reader", "conversing", "core_on", "services_over"]

ANNA = "anna"


class HeldModel:
    """A model that answers "Hello", to each request once it is released."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[list[Part]]]:
        """See `Model.stream`."""
        self.requests.append(request)
        self.asked.set()
        yield self._answer()

    async def _answer(self) -> AsyncIterator[list[Part]]:
        await self.released.wait()
        yield [TextPart(0, "Hello"), BlockEnd(0, None), Stop("end_turn")]

    def context(self, model: str) -> Context:
        """See `Model.context`."""
        return Context()

    async def open_file(self, id: str, *, max_bytes: int) -> ProviderFile:
        """There is none."""
        raise ModelError(Code.NOT_FOUND, "no file")

    async def close(self) -> None:
        """Nothing to do."""


def services_over(store: Store, model: Model, **policy: Any) -> Services:
    """What turns share, without tools and without a grace time for readers who go."""
    return Services(
        model=model,
        toolset=Toolset([], timeout_seconds=10),
        policy=Policy(**{"detach_grace": 0.0, **policy}),
        blobs=Blobs(store.blobs, ServiceLimits(max_blob_bytes=1024)),
    )


def core_on(
    store: Store,
    model: Model,
    *,
    max_queued: int = 8,
    max_open: int = 1000,
    max_open_bytes: int = 2**30,
    max_running_turns: int = 64,
    idle_seconds: float = 3600.0,
) -> Hub:
    """A core that is not started yet."""
    services = services_over(store, model, max_queued=max_queued)
    limits = ServiceLimits(max_open_bytes=max_open_bytes, max_running_turns=max_running_turns)
    return Hub(store, services, limits, max_open=max_open, idle_seconds=idle_seconds)


@asynccontextmanager
async def conversing(
    model: Model, *, max_undurable_bytes: int = 2**20, **policy: Any
) -> AsyncIterator[Conversation]:
    """A new conversation by itself, without a hub."""
    store = MemoryStore()
    committer = Committer(store)
    committer.start()
    conversation = Conversation(
        "c_1",
        ANNA,
        store=store,
        committer=committer,
        services=services_over(store, model, **policy),
        on_done=lambda conversation, after: None,
        max_undurable_bytes=max_undurable_bytes,
    )
    fence = await fence_of(store, "c_1", ANNA, "e_1")
    conversation.hold(fence, is_open=False)
    yield conversation
    await committer.close()


class Reader:
    """One who reads a conversation from a cursor on, and may come back to another core."""

    def __init__(self, after: int = 0) -> None:
        self.start = after
        self.frames: list[Frame] = []
        self.seen: list[Event] = []
        self._follower: Follower | None = None
        self._woken = asyncio.Event()

    @property
    def cursor(self) -> int:
        """The last seq it has read."""
        return self.seen[-1].seq if self.seen else self.start

    async def connect(
        self, core: Hub, conversation: str, epoch: str, *, last: int | None = None
    ) -> None:
        """Read on from the cursor; or begin, with the last so many turns."""
        self.disconnect()
        self._follower, _ = await core.follow(
            ANNA, conversation, after=self.cursor, epoch=epoch, wake=self._woken.set, last=last
        )
        assert self._follower.reset is None, "the log never goes back"
        if last is not None:
            self.start = self._follower.after

    def disconnect(self) -> None:
        """Read no more, until the next `connect`."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    async def drain(self) -> None:
        """Read what there is."""
        while self._follower is not None and (frames := await self._follower.read()):
            self.frames += frames
            self.seen += (parse_event(from_json(frame.text)) for frame in frames)

    async def until(self, predicate: Callable[[Sequence[Event]], bool]) -> None:
        """Read until the predicate is true of all that was seen."""
        while True:
            self._woken.clear()
            await self.drain()
            if predicate(self.seen):
                return
            await self._woken.wait()
