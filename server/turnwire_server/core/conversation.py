"""A conversation: the single writer of its log. It decides on commands, owns the running turn and
wakes the followers. All state changes are synchronous, on the event loop: no locks."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from turnwire_protocol import (
    Ack,
    CancelBody,
    Closed,
    Code,
    Done,
    Event,
    Message,
    Reset,
    SendBody,
    encode,
    is_retryable,
)
from turnwire_server.core.committer import Committer
from turnwire_server.core.entry import Entry, Item, dump, load
from turnwire_server.core.follower import Follower, Frame
from turnwire_server.core.history import History
from turnwire_server.core.log import Log
from turnwire_server.core.options import resolve
from turnwire_server.core.turn import Services, Turn, TurnState
from turnwire_server.errors import Refused
from turnwire_server.store.port import Batch, Fence, Store

__all__ = ["Accepted", "Conversation"]

_KEEP_BYTES = 256 * 1024
_TITLE_CHARS = 80


@dataclass(slots=True)
class _Record:
    """What is remembered of every turn, to answer repeated keys and late cancels."""

    turn: str
    seq: int
    key: str | None
    fingerprint: str
    done_seq: int | None = None


@dataclass(slots=True, frozen=True)
class Accepted:
    """A send took effect. Its ack may go out once `durable` is done."""

    ack: Ack
    durable: asyncio.Future[None]
    follow: Callable[[Callable[[], None]], Follower]
    """Follow the conversation from the ack's `after`; the argument is the waker."""
    done_seq: int | None
    """The seq of the turn's `done`, where a repeated key found it done already."""


class Conversation:
    """One log, one writer. Everybody else asks it."""

    def __init__(
        self, fence: Fence, *, store: Store, committer: Committer, services: Services
    ) -> None:
        self.conversation = fence.conversation
        self.owner = fence.owner
        self.epoch = fence.epoch
        self.running: Turn | None = None
        self._fence = fence
        self._store = store
        self._committer = committer
        self._services = services
        self._log = Log(fence.conversation)
        self._history = History()
        self._history_seq = 0
        self._records: dict[str, _Record] = {}
        self._keys: dict[str, _Record] = {}
        self._followers: set[Follower] = set()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._frames: dict[tuple[int, int], list[Frame]] = {}
        self._is_noted = False
        self._title: str | None = None

    async def load(self) -> None:
        """Read the stored log once, to know its turns, keys and history."""
        seq = 0
        while bodies := await self._store.read(self.conversation, seq, max_bytes=1024 * 1024):
            for body in bodies:
                for item in load(body):
                    self._remember(item)
                    self._history.apply(item)
                    seq = item.last_seq
        self._log = Log(self.conversation, head=seq)
        self._history_seq = seq

    # Commands

    def send(self, principal: str, send: SendBody) -> Accepted:
        """Accept a message and begin its turn once it is durable.

        Raises:
            Refused: it took no effect.
        """
        fingerprint = _fingerprint(send)
        if send.key is not None and (record := self._keys.get(send.key)) is not None:
            if record.fingerprint != fingerprint:
                raise Refused(Code.KEY_REUSED, "key: was used for another message")
            return self._accepted(record)
        _refuse_unsupported(send)
        if self.running is not None:
            raise Refused(Code.BUSY, "a turn is running in this conversation")
        options = resolve(send, self._services.policy, tools=self._services.toolset.names)
        turn = Turn(
            f"t_{secrets.token_hex(8)}",
            principal=principal,
            options=options,
            services=self._services,
            writer=self,
            on_done=self._turn_done,
            cancel_on_detach=send.on_detach == "cancel",
        )
        if self._log.head == 0:
            self._title = _title(send)
        private = {
            "fingerprint": fingerprint,
            "options": send.model_dump(exclude={"id", "type", "content", "key"}, exclude_none=True),
        }
        self.write(turn.id, Message, private=private, content=send.content, key=send.key)
        self.running = turn
        accepted = self._accepted(self._records[turn.id])
        accepted.durable.add_done_callback(lambda _: self._begin(turn))
        return accepted

    def _accepted(self, record: _Record) -> Accepted:
        after = record.seq - 1
        ack = Ack(
            id="",
            conversation=self.conversation,
            turn=record.turn,
            seq=record.seq,
            epoch=self.epoch,
            after=after,
        )
        return Accepted(
            ack,
            durable=self._durable(record.seq),
            follow=lambda wake: self.follow(after, self.epoch, wake),
            done_seq=record.done_seq,
        )

    def _begin(self, turn: Turn) -> None:
        if turn.state is TurnState.QUEUED:
            turn.start()
            self._watch_detached()

    def cancel(self, cancel: CancelBody) -> Ack:
        """Stop a turn; the receipt tells what became of the wish.

        Raises:
            Refused: there is no such turn.
        """
        record = self._find(cancel)
        if record.done_seq is not None:
            return Ack(id="", turn=record.turn, outcome="already_done")
        turn = self.running
        if turn is None or turn.id != record.turn:
            raise Refused(Code.INTERNAL, "the turn is not running")
        queued = turn.state is TurnState.QUEUED
        turn.cancel()
        return Ack(id="", turn=turn.id, outcome="queued_removed" if queued else "cancelling")

    def _find(self, cancel: CancelBody) -> _Record:
        if cancel.turn is not None:
            record = self._records.get(cancel.turn)
        elif cancel.key is not None:
            record = self._keys.get(cancel.key)
        else:
            raise Refused(Code.BAD_COMMAND, "turn: either turn or key is required")
        if record is None:
            raise Refused(Code.UNKNOWN_TURN, "no such turn in this conversation")
        return record

    def _turn_done(self, turn: Turn) -> None:
        if self.running is turn:
            self.running = None

    # Followers

    def follow(self, after: int, epoch: str | None, wake: Callable[[], None]) -> Follower:
        """A cursor after `after`; one that is not in this log is reset to the start."""
        reset = None
        if (epoch is not None and epoch != self.epoch) or after > self._log.head:
            reason = "the cursor is ahead of the log" if epoch == self.epoch else "another epoch"
            reset = Reset(conversation=self.conversation, epoch=self.epoch, reason=reason)
            after = 0
        follower = Follower(
            self,
            conversation=self.conversation,
            epoch=self.epoch,
            after=after,
            wake=wake,
            reset=reset,
        )
        # Registered before anything is read, and no await in between: nothing is missed.
        self._followers.add(follower)
        return follower

    def detach(self, follower: Follower) -> None:
        """The follower reads no more."""
        if follower in self._followers:
            self._followers.remove(follower)
            self._watch_detached()

    def _watch_detached(self) -> None:
        """If nobody looks and the turn is not to outlive that, end it after the grace time."""
        turn = self.running
        if turn is None or not turn.cancel_on_detach or self._followers:
            return
        loop = asyncio.get_running_loop()
        loop.call_later(self._services.policy.detach_grace_seconds, self._end_if_detached, turn)

    def _end_if_detached(self, turn: Turn) -> None:
        # A reader who came and went meanwhile has started a grace time of its own.
        if self.running is turn and not self._followers:
            turn.cancel()

    def close(self, code: Code) -> None:
        """End all subscriptions and the running turn."""
        if self.running is not None:
            self.running.cancel()
        for follower in list(self._followers):
            follower.closed = Closed(
                conversation=self.conversation, code=code, retryable=is_retryable(code)
            )
            follower.wake()
        self._followers.clear()

    @property
    def is_idle(self) -> bool:
        """Nothing runs, nobody reads, nothing waits to be stored."""
        return self.running is None and not self._followers and self._log.head == self.durable

    @property
    def durable(self) -> int:
        """The seq up to which may be read."""
        return self._log.durable

    @property
    def head(self) -> int:
        """The durable head, as readers are told it."""
        return self._log.durable

    async def frames(self, after: int, *, max_bytes: int) -> list[Frame]:
        """See `Readable.frames`. Readers at the same place share one encoding."""
        log = self._log
        if after < log.floor:
            return _encode(await self._stored(after, max_bytes))
        key = (after, log.durable)
        frames = self._frames.get(key)
        if frames is None:
            frames = _encode(log.read(after, log.durable, max_bytes=max_bytes))
            self._frames[key] = frames
        return frames

    async def _stored(self, after: int, max_bytes: int) -> list[Item]:
        bodies = await self._store.read(self.conversation, after, max_bytes=max_bytes)
        items = [item for body in bodies for item in load(body) if item.last_seq > after]
        return [item.cut(after, item.last_seq) for item in items]

    # Writer

    def write(
        self, turn: str, type: type[Any], *, private: dict[str, Any] | None = None, **fields: Any
    ) -> None:
        """Append an event of `turn`, dated now."""
        event: Event = type(
            conversation=self.conversation,
            seq=self._log.head + 1,
            turn=turn,
            at=_now(),
            **fields,
        )
        self._log.append(event, private)
        self._remember(Entry(event, private))
        self._note()

    def write_delta(
        self, type: Any, turn: str, block: int, text: str, *, tool_id: str | None = None
    ) -> None:
        """Append a delta of `turn`. The path of every token."""
        self._log.append_delta(type, turn, block, text, tool_id=tool_id)
        if not self._is_noted:
            self._note()

    def messages(self) -> list[dict[str, Any]]:
        """The history for the model, up to now."""
        self._catch_up()
        return self._history.messages()

    def container(self) -> str | None:
        """The provider's container, if the conversation has one."""
        return self._history.container

    def _catch_up(self) -> None:
        # On demand and not per token: a run is taken in whole.
        for item in self._log.read(self._history_seq, self._log.head):
            self._history.apply(item)
        self._history_seq = self._log.head

    def _remember(self, item: Item) -> None:
        event = item.event if isinstance(item, Entry) else None
        if isinstance(event, Message):
            private = (item.private if isinstance(item, Entry) else None) or {}
            fingerprint = private.get("fingerprint", "")
            record = _Record(event.turn, event.seq, event.key, fingerprint)
            self._records[event.turn] = record
            if event.key is not None:
                self._keys[event.key] = record
        elif isinstance(event, Done) and (record_ := self._records.get(event.turn)):
            record_.done_seq = event.seq

    # Durability

    def _note(self) -> None:
        if not self._is_noted:
            self._is_noted = True
            self._committer.note(self)

    def unstored(self) -> Batch | None:
        """See `Source.unstored`."""
        self._is_noted = False
        log = self._log
        if log.head == log.durable:
            return None
        items = log.read(log.durable, log.head)
        return Batch(self._fence, log.durable + 1, log.head, dump(items), self._title)

    def stored(self, upto: int) -> None:
        """See `Source.stored`: readers may see up to `upto` now."""
        self._log.durable = upto
        self._frames.clear()
        if self._waiting:
            for seq, future in self._waiting:
                if seq <= upto and not future.done():
                    future.set_result(None)
            self._waiting = [(seq, future) for seq, future in self._waiting if seq > upto]
        for follower in self._followers:
            follower.wake()
        if self.running is None:
            self._catch_up()
            self._log.trim(_KEEP_BYTES)

    def _durable(self, seq: int) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if seq <= self._log.durable:
            future.set_result(None)
        else:
            self._waiting.append((seq, future))
        return future


def _encode(items: list[Item]) -> list[Frame]:
    events = [item.event for item in items]
    return [Frame(event.seq, event.type, event.turn, encode(event)) for event in events]


def _refuse_unsupported(send: SendBody) -> None:
    for name, wanted in (
        ("client_tools", send.client_tools is not None),
        ("retract", send.retract is not None),
        ("if_busy", send.if_busy != "reject"),
    ):
        if wanted:
            raise Refused(Code.UNSUPPORTED, f"{name}: not supported by this server yet")


def _fingerprint(send: SendBody) -> str:
    # Where it goes and who waits for it are not what it says.
    said = set(SendBody.model_fields) - {"conversation", "on_detach"}
    body = send.model_dump_json(include=said, exclude_none=True)
    return hashlib.sha256(body.encode()).hexdigest()[:32]


def _title(send: SendBody) -> str:
    content = send.content
    text = content if isinstance(content, str) else " ".join(block.text for block in content)
    return " ".join(text.split())[:_TITLE_CHARS]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
