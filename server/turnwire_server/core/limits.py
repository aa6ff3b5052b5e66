"""What is bounded, and the buckets that bound rates. Pure: the time comes in as an argument."""

from collections import Counter
from contextlib import AbstractContextManager

from pydantic import BaseModel, ConfigDict, Field

from turnwire_protocol import Code
from turnwire_server.errors import Rejected

__all__ = ["HELLO_BYTES", "Bucket", "Buckets", "Places", "ServiceLimits"]

HELLO_BYTES = 4096
"""The largest frame before `welcome`."""


class ServiceLimits(BaseModel):
    """Bounds of the service; sizes in bytes, rates per second and twice as many at once.

    PROTOCOL.md ("Limits") says of each what it bounds and what happens beyond it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_frame_bytes: int = 1024 * 1024
    max_subscriptions: int = 256
    max_running_turns: int = 64
    max_turns_per_minute: int | None = Field(default=None, ge=1)
    """Per principal, as are the two that follow. Off: who is one principal, the operator knows."""
    max_tokens_per_day: int | None = Field(default=None, ge=1)
    """Input and output, cached or not, of a day in UTC. Turns that run are counted; they go on."""
    max_cost_usd_per_day: float | None = Field(default=None, gt=0)
    """US dollars, by the `prices`, which must name every model that may be used."""
    max_conversations_per_principal: int | None = Field(default=100_000, ge=1)
    max_commands_per_second: int = 50
    max_frames_per_second: int = Field(default=250, ge=1)
    """Of a WebSocket, of every kind; commands need twice their own rate of it in any case."""
    max_frames_before_hello: int = Field(default=16, ge=1)
    flood_hold_seconds: float = Field(default=1.0, ge=0)
    """Of `serve`: how long a connection still lasts that was cut off for what it sent."""
    max_requests_per_second: int = Field(default=200, ge=1)
    """HTTP requests of a principal."""
    max_sockets: int = 256
    """Per principal."""
    max_sockets_before_hello: int = Field(default=256, ge=1)
    """Of all who have not said who they are."""
    max_streams: int = Field(default=256, ge=1)
    """Event streams over HTTP, and requests that wait for a whole answer, per principal."""
    max_connections: int = Field(default=10_000, ge=1)
    """Of `serve`; never more than leaves a part of the process's files to model and database."""
    max_connections_per_address: int = Field(default=1024, ge=1)
    """Of `serve`; an IPv6 address counts by its /64, the `proxies` are not counted."""
    max_open_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """Memory of open conversations, roughly; beyond, those that nobody uses are let go."""
    max_wrong_tokens_per_minute: int = Field(default=60, ge=1)
    """Of an address (counted like its connections); a token that was right before always passes."""
    hello_timeout_seconds: float = 5.0
    header_timeout_seconds: float = Field(default=10.0, gt=0)
    """Of `serve`: until a connection has brought the headers of its next request."""
    max_bodies: int = Field(default=64, ge=1)
    """Bodies of requests that are on their way at once, per principal."""
    body_timeout_seconds: float = Field(default=30.0, gt=0)
    """Until a body is there; a large one has longer, by `min_body_bytes_per_second`."""
    min_body_bytes_per_second: int = Field(default=4096, ge=1)
    max_wire_body_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    """Of a request on a wire: other front ends send the whole conversation each time."""
    heartbeat_seconds: float = 20.0
    max_blob_bytes: int = 10 * 1024 * 1024
    max_blob_bytes_per_principal: int = 2 * 1024 * 1024 * 1024
    max_blobs_per_principal: int = 10_000
    max_uploads_per_principal: int = 8
    """At once; of all together `max_uploads`."""
    max_uploads: int = 32
    upload_timeout_seconds: float = 300.0
    """For all bytes of a blob to come."""
    keep_hidden_seconds: float = Field(default=3600.0, ge=0)
    """How long a hidden conversation stays after its last change: a retry finds its answer there.
    One whose turn is unfinished stays in any case."""
    keep_unused_blobs_seconds: float = 24 * 3600.0
    """How long a blob stays that no conversation names (any more), from when it was last put."""

    @property
    def frames_per_second(self) -> int:
        """What a WebSocket may send: enough that too many commands are rejected one by one."""
        return max(self.max_frames_per_second, 2 * self.max_commands_per_second)


class Places:
    """How many of something each principal has at once, and all together (None: any number)."""

    def __init__(self, what: str, most: int, *, most_in_all: int | None = None) -> None:
        self._what = what
        self._most = most
        self._most_in_all = most_in_all
        self._taken: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many are taken, by all together."""
        return self._taken.total()

    def taken(self, principal: str) -> AbstractContextManager[None]:
        """One more of the principal, from now on until the context ends.

        Raises:
            Rejected: too_many.
        """
        if self._taken[principal] >= self._most:
            raise _too_many(f"at most {self._most} {self._what} at once")
        if self._most_in_all is not None and self._taken.total() >= self._most_in_all:
            raise _too_many(f"too many {self._what} at once, of all together")
        self._taken[principal] += 1
        return _Taken(self._taken, principal)


class _Taken(AbstractContextManager[None]):
    # No generator: each socket holds one, for as long as it is there.
    __slots__ = ("_principal", "_taken")

    def __init__(self, taken: Counter[str], principal: str) -> None:
        self._taken = taken
        self._principal = principal

    def __exit__(self, *_: object) -> None:
        self._taken[self._principal] -= 1
        if not self._taken[self._principal]:
            del self._taken[self._principal]


def _too_many(message: str) -> Rejected:
    return Rejected(Code.TOO_MANY, message, retry_after_seconds=1.0)


class Bucket:
    """A token bucket: `rate` per second, `size` at once, by default twice as many."""

    def __init__(self, rate: float, now: float, *, size: float | None = None) -> None:
        self._rate = rate
        self._size = 2 * rate if size is None else size
        self._left = self._size
        self._then = now

    def take(self, now: float) -> bool:
        """Take one; False if there is none left at `now` (monotonic seconds)."""
        self._left = min(self._size, self._left + (now - self._then) * self._rate)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """What was taken last was not needed."""
        self._left = min(self._size, self._left + 1)

    def seconds_until(self, now: float) -> float:
        """When there is one to take, from `now` on; 0: there is one."""
        left = self._left + (now - self._then) * self._rate
        return max(1 - left, 0) / self._rate

    def is_full(self, now: float) -> bool:
        """Whether it is as if nothing had ever been taken."""
        return self._left + (now - self._then) * self._rate >= self._size


class Buckets:
    """A bucket for each name; of those that are full again none is kept for long."""

    _MANY = 1024

    def __init__(self, rate: float, *, size: float | None = None) -> None:
        """`rate` a second, `size` at once: by default twice as many."""
        self._rate = rate
        self._size = size
        self._buckets: dict[str, Bucket] = {}
        self._look_at = self._MANY

    def take(self, name: str, now: float) -> bool:
        """Take one of this name; False if there is none left at `now`."""
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= self._look_at:
                self._forget(now)
            bucket = self._buckets[name] = Bucket(self._rate, now, size=self._size)
        return bucket.take(now)

    def give_back(self, name: str) -> None:
        """What was taken of this name last was not needed."""
        if (bucket := self._buckets.get(name)) is not None:
            bucket.give_back()

    def seconds_until(self, name: str, now: float) -> float:
        """When there is one of this name, from `now` on; 0: there is one."""
        bucket = self._buckets.get(name)
        return 0.0 if bucket is None else bucket.seconds_until(now)

    @property
    def known(self) -> int:
        """How many are kept."""
        return len(self._buckets)

    def _forget(self, now: float) -> None:
        self._buckets = {
            name: bucket for name, bucket in self._buckets.items() if not bucket.is_full(now)
        }
        # Looked at again when twice as many are there: the cost of a look stays that of a few.
        self._look_at = max(self._MANY, 2 * len(self._buckets))
