"""What is bounded, and the bucket that bounds commands. Pure: the time comes in as an argument."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Bucket", "ServiceLimits"]


class ServiceLimits(BaseModel):
    """Bounds of the service; sizes in bytes, rates per second."""

    model_config = ConfigDict(frozen=True)

    max_frame_bytes: int = 1024 * 1024
    max_subscriptions: int = 256
    max_running_turns: int = 64
    max_commands_per_second: int = 50
    max_sockets: int = 256
    """Per principal."""
    hello_timeout_seconds: float = 5.0
    heartbeat_seconds: float = 20.0
    max_blob_bytes: int = 10 * 1024 * 1024
    max_blob_bytes_per_principal: int = 2 * 1024 * 1024 * 1024
    max_blobs_per_principal: int = 10_000
    max_uploads_per_principal: int = 8
    """At once; of all together `max_uploads`."""
    max_uploads: int = 32
    upload_timeout_seconds: float = 300.0
    """For all bytes of a blob to come."""
    keep_unused_blobs_seconds: float = 24 * 3600.0
    """How long a blob stays that no conversation names (any more), from when it was last put."""


class Bucket:
    """A token bucket: `rate` per second, twice as many at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._size = 2 * rate
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
