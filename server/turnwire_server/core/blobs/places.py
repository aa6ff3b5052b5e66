"""How many uploads may be under way at once, of each principal and in all. Pure."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from turnwire_protocol import Code
from turnwire_server.errors import Rejected

__all__ = ["Places"]

_RETRY_AFTER_SECONDS = 1.0


class Places:
    """An upload has a place from its first byte to its end."""

    def __init__(self, *, max_each: int, max_all: int) -> None:
        self._max_each = max_each
        self._max_all = max_all
        self._taken: Counter[str] = Counter()

    @contextmanager
    def take(self, principal: str) -> Iterator[None]:
        """A place for the principal, as long as the block runs.

        Raises:
            Rejected: there is none now.
        """
        if self._taken[principal] >= self._max_each:
            raise _too_many(f"{self._max_each} uploads of yours are under way")
        if self._taken.total() >= self._max_all:
            raise _too_many("too many uploads are under way")
        self._taken[principal] += 1
        try:
            yield
        finally:
            self._taken[principal] -= 1
            if not self._taken[principal]:
                del self._taken[principal]


def _too_many(message: str) -> Rejected:
    return Rejected(Code.TOO_MANY, message, retry_after_seconds=_RETRY_AFTER_SECONDS)
