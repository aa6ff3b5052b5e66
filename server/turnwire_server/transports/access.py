"""Who may come in: host, origin and principal of a connection. The same for HTTP and WebSocket."""

import hmac
import inspect
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from turnwire_protocol import Code
from turnwire_server.core.limits import Buckets
from turnwire_server.errors import Rejected
from turnwire_server.rationed import Ration
from turnwire_server.transports.wrong_tokens import WrongTokens

logger = logging.getLogger(__name__)

__all__ = ["Access", "Authenticate", "is_loopback", "shared_token"]

Authenticate = Callable[[HTTPConnection], str | Awaitable[str | None] | None]
"""HTTPConnection → principal, or None. May be async."""

_LOG_SECONDS = 10.0
"""At most one line so often says who was refused."""

LOCAL = "local"
"""The principal of everybody, without an authenticator."""


_TEST_PEER, _TEST_HOST = "testclient", "testserver"
"""What Starlette's TestClient says unless it is told otherwise."""
_IN_A_TEST = (
    "only this machine is served without an authenticator, and a TestClient is none of its clients:"
    " give Turnwire authenticate=…, as the app has it, or say"
    ' TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000))'
)


def _served() -> None:
    """Nothing stands against serving."""


_THIS_MACHINE = "only this machine is served without a token: set TURNWIRE_TOKEN"
_TO_THIS_MACHINE = (
    "only this machine itself is answered here: by a name of its own, and through nobody else"
)
"""The same where an authenticator is, which is not asked."""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def is_loopback(host: str) -> bool:
    """Whether a host name or address, without its port, means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def shared_token(token: str) -> Authenticate:
    """Everybody who knows the token is the principal `token`. `Authorization: Bearer …` only."""

    def authenticate(connection: HTTPConnection) -> str | None:
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        # Header values are bytes: Starlette reads them as Latin-1, clients mostly write UTF-8.
        known = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
        return "token" if known and scheme.lower() == "bearer" else None

    return authenticate


class Access:
    """Decides on every connection. Without `authenticate`, only this machine itself is served."""

    def __init__(
        self,
        authenticate: Authenticate | None = None,
        *,
        allow_origins: Sequence[str] = (),
        allow_hosts: Sequence[str] = (),
        now: Callable[[], float] = time.monotonic,
        unserved: Callable[[], Rejected | None] = _served,
        max_requests_per_second: float | None = None,
        wrong_tokens: WrongTokens | None = None,
    ) -> None:
        """`unserved` says why nobody at all is served now, if so."""
        self._authenticate = authenticate
        self._unserved = unserved
        self._allow_hosts = frozenset(host.lower() for host in allow_hosts)
        self._now = now
        self._ration = Ration(_LOG_SECONDS)
        self._wrong_tokens = wrong_tokens
        self._requests = Buckets(max_requests_per_second) if max_requests_per_second else None
        self._allow_origins = frozenset(origin.rstrip("/").lower() for origin in allow_origins)

    @property
    def wants_credentials(self) -> bool:
        """Whether there is an authenticator; without one everybody is the same principal."""
        return self._authenticate is not None

    def check_host(self, connection: HTTPConnection) -> None:
        """Without an authenticator, refuse what does not come from this machine; and, with names
        given, what asks for us by another one.

        Checking `Host` stops DNS rebinding: a foreign page's own name that resolves to us.

        Raises:
            Rejected: permission_denied; or why nobody is served now.
        """
        if (refused := self._unserved()) is not None:
            raise refused
        if self._authenticate is None:
            self.check_machine(connection)
        elif self._allow_hosts and not self._is_known(_host(connection)):
            raise self._denial(connection, "this name of the service is not in allow_hosts")

    def check_machine(self, connection: HTTPConnection) -> None:
        """Refuse what does not come from this machine, or through somebody else, or asks for us by
        a name that is not ours: see `check_host`.

        Raises:
            Rejected: permission_denied.
        """
        peer = connection.client.host if connection.client else ""
        host = _host(connection)
        if any(name in connection.headers for name in _FORWARDED):
            message = "forwarded requests are not served without a token: set TURNWIRE_TOKEN"
        elif not is_loopback(peer):
            message = _IN_A_TEST if peer == _TEST_PEER else _THIS_MACHINE
        elif not self._is_known(host):
            message = _IN_A_TEST if host == _TEST_HOST else _THIS_MACHINE
        else:
            return
        if self._authenticate is not None:
            message = _TO_THIS_MACHINE
        raise self._denial(connection, message)

    def check_origin(self, connection: HTTPConnection) -> None:
        """Refuse web pages of other origins.

        Without an `Origin` header the fetch metadata tell (https://www.w3.org/TR/fetch-metadata/):
        a plain GET from a foreign page carries no origin.

        Raises:
            Rejected: permission_denied.
        """
        origin = connection.headers.get("origin")
        if origin is not None:
            if not self.is_own(connection, origin) and not self.is_allowed(origin):
                raise self._denial(connection, "this origin is not allowed: see allow_origins")
        elif connection.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            message = "requests from other sites are not served: see allow_origins"
            raise self._denial(connection, message)

    def _is_known(self, host: str) -> bool:
        """Whether it is a name of this machine, or one that was given."""
        return is_loopback(host) or self._is_named(host)

    def _is_named(self, host: str) -> bool:
        labels = host.split(".")
        above = (".".join(labels[start:]) for start in range(1, len(labels)))
        return host in self._allow_hosts or any(f"*.{name}" in self._allow_hosts for name in above)

    def _denial(self, connection: HTTPConnection, message: str) -> Rejected:
        """The refusal, which is also said in the log: who runs the service can do something."""
        if (refused := self._ration.take(self._now())) is not None:
            headers = connection.headers
            logger.warning(
                "refused: %s (peer %s, host %.100r, origin %.100r; %d refused since the last line)",
                message,
                connection.client.host if connection.client else "?",
                headers.get("host"),
                headers.get("origin"),
                refused,
            )
        return Rejected(Code.PERMISSION_DENIED, message)

    def is_allowed(self, origin: str) -> bool:
        """Whether a foreign origin is on the operator's list."""
        return "*" in self._allow_origins or origin.lower() in self._allow_origins

    def is_own(self, connection: HTTPConnection, origin: str) -> bool:
        """Whether the origin is the one this service was asked as."""
        netloc = urlsplit(origin).netloc.lower()  # Empty for the origin `null`.
        return bool(netloc) and netloc == connection.headers.get("host", "").lower()

    def check_rate(self, principal: str) -> None:
        """Count one HTTP request of the principal.

        Raises:
            Rejected: too_many.
        """
        if self._requests is not None and not self._requests.take(principal, time.monotonic()):
            raise Rejected(Code.TOO_MANY, "too many requests at once", retry_after_seconds=1.0)

    async def principal(self, connection: HTTPConnection) -> str | None:
        """The principal, or None: no valid credentials came with the headers.

        Raises:
            Rejected: too_many wrong tokens came from its address.
        """
        authenticate = self._authenticate
        if authenticate is None:
            return LOCAL

        async def ask() -> str | None:
            found = authenticate(connection)
            return await found if inspect.isawaitable(found) else found

        token = connection.headers.get("authorization")
        # Without one nothing is guessed: sessions in cookies are the authenticator's own to guard.
        if self._wrong_tokens is None or token is None:
            return await ask()
        return await self._wrong_tokens.guard(connection, token, ask)

    async def principal_of_token(self, connection: HTTPConnection, token: str) -> str | None:
        """The principal, by a token that came after the headers (`hello`), or None.

        Raises:
            Rejected: see `principal`.
        """
        headers = [pair for pair in connection.scope["headers"] if pair[0] != b"authorization"]
        bearer = (b"authorization", b"Bearer " + token.encode())
        scope = {**connection.scope, "headers": [*headers, bearer]}
        return await self.principal(HTTPConnection(scope))


def _host(connection: HTTPConnection) -> str:
    host = connection.headers.get("host", "")
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # An address in brackets that is none.
        return ""
