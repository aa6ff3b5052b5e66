"""Where a PostgreSQL is, and connections to it; knows no tables.

Its URL holds a password, so nothing here says more of it than hosts.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeAlias, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from turnwire_server.errors import SettingsError, StoreError

__all__ = ["FAILURES", "Address", "Ask", "Connection", "Session", "answering", "quoted", "told"]

T = TypeVar("T")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Session: TypeAlias = "Connection | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
"""A connection of its own, or one that is borrowed."""

FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What may come of asking a PostgreSQL."""

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_POOL = 4
_SESSION = {
    # No transaction of ours is long: one that stands still would hold locks that others wait for.
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    # The server lets go of a node that is gone without a word.
    "tcp_user_timeout": "15s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # Statements of a millisecond, whose costs the planner cannot know: it would compile some.
    "jit": "off",
}
_SCHEMA = "turnwire"


class Address:
    """One database, and the schema in it that is ours.

    The schema is the `search_path` of the URL; `turnwire` where it has none.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        hosts = [_host(place) for place in parts.netloc.rpartition("@")[2].split(",")]
        self.hosts = [host for host in [*hosts, *query.get("host", [])] if host]
        """Names, addresses, folders of sockets; none: what `libpq` takes by itself."""
        self.schema = query.get("search_path", [_SCHEMA])[0]
        self._says_tls = "sslmode" in query

    def check(self) -> None:
        """Refuse what would carry conversations over a network in the clear, unasked.

        Raises:
            SettingsError: see there.
        """
        if not self._says_tls and not all(map(_is_here, self.hosts)):
            raise SettingsError(
                "db: no TLS to a host that is not this machine: add ?sslmode=require to the"
                " address (or sslmode=disable if you mean it)"
            )

    async def connect(self, name: str) -> Connection:
        """A connection to the server that takes writes; `name` is what the server shows of it.

        Raises:
            FAILURES: there is none now.
        """
        return await asyncpg.connect(
            self._url,
            timeout=_CONNECT_SECONDS,
            command_timeout=_ANSWER_SECONDS,
            server_settings=self._settings(name),
            target_session_attrs=asyncpg.connect_utils.SessionAttribute.read_write,
        )

    async def pool(self, name: str) -> "asyncpg.Pool[asyncpg.Record]":
        """A few connections to borrow, made when they are needed; where nothing can be written for
        a while, they still read."""
        return await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=_POOL,
            timeout=_CONNECT_SECONDS,
            command_timeout=_ANSWER_SECONDS,
            server_settings=self._settings(name),
            target_session_attrs=asyncpg.connect_utils.SessionAttribute.primary,
            reset=_as_it_is,
        )

    def _settings(self, name: str) -> dict[str, str]:
        path, shown = quoted(self.schema), f"turnwire {name}"
        return {**_SESSION, "search_path": path, "application_name": shown}


async def _as_it_is(connection: Session) -> None:
    """Nobody who borrows a connection sets anything for longer than a transaction, which is ended
    anyway: asking the server to forget all would be a round trip more for every read."""


class Ask(Protocol):
    """Does something with a connection that is borrowed.

    Raises:
        StoreError: PostgreSQL does not answer, or it refuses.
    """

    async def __call__(self, work: Callable[[Session, str], Awaitable[T]]) -> T:
        """What the work returns; it is given the node's id, too."""


@contextmanager
def answering() -> Iterator[None]:
    """PostgreSQL is asked something meanwhile.

    Raises:
        StoreError: it does not answer, or it refuses.
    """
    try:
        yield
    except FAILURES as error:
        raise StoreError(f"PostgreSQL cannot be used now: {told(error)}") from error


def quoted(name: str) -> str:
    """A name, as it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


def told(error: BaseException) -> str:
    """A failure in one line; some say nothing but their type."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _host(place: str) -> str:
    """The host of `host:port`, of `[::1]:port`, or of a folder that is percent-encoded."""
    place = unquote(place)
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.partition(":")[0] if place.count(":") == 1 else place


def _is_here(host: str) -> bool:
    if host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
