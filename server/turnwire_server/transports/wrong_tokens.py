"""Wrong tokens: how many an address may try, and the line in the log that names it.

A token cannot be called wrong before the authenticator is asked, and each answer is a guess told.
So an address that has given too many wrong ones is not asked for; but a token that was right before
always is, wherever it comes from: who guesses keeps nobody out that has been in since the start.
Addresses that many share (`proxies`, where the proxy does not name the client) are only logged.
"""

import hashlib
import ipaddress
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import HTTPConnection

from turnwire_protocol import Code
from turnwire_server.addresses import client_of, counted_as
from turnwire_server.core.limits import Buckets
from turnwire_server.errors import Rejected
from turnwire_server.rationed import Ration

__all__ = ["WrongTokens"]

logger = logging.getLogger(__name__)

_MINUTE = 60.0
_LOG_SECONDS = 10.0
"""At most one line so often says who gave a wrong token."""
_MAX_KNOWN = 4096


class WrongTokens:
    """A bucket for each address, which wrong tokens empty."""

    def __init__(
        self,
        max_per_minute: int,
        *,
        proxies: Sequence[str] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proxies = [ipaddress.ip_network(network) for network in proxies]
        self._buckets = Buckets(max_per_minute / _MINUTE, size=max_per_minute)
        self._now = now
        self._ration = Ration(_LOG_SECONDS)
        self._secret = secrets.token_bytes(16)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        """Digests of the tokens that were right, the latest last; no use without the secret."""

    async def guard(
        self,
        connection: HTTPConnection,
        token: str,
        ask: Callable[[], Awaitable[str | None]],
    ) -> str | None:
        """What `ask` says of the token: the principal, or None.

        Raises:
            Rejected: too_many; it was not asked.
        """
        forwarded = ",".join(connection.headers.getlist("x-forwarded-for"))
        peer = connection.client.host if connection.client else ""
        address = client_of(peer, forwarded, self._proxies)
        name = counted_as(address, self._proxies)
        digest = hashlib.blake2b(token.encode(), key=self._secret, digest_size=16).digest()
        is_known = digest in self._known
        # Taken before it is asked, so that many at once are no way around it.
        is_taken = name is not None and self._buckets.take(name, self._now())
        if name is not None and not is_taken and not is_known:
            self._log("too many wrong tokens, this one was not looked at", address)
            raise Rejected(
                Code.TOO_MANY,
                "too many wrong tokens from this address",
                retry_after_seconds=round(self._buckets.seconds_until(name, self._now()), 3),
            )
        is_wrong = False
        try:
            principal = await ask()
            is_wrong = principal is None
        finally:
            if name is not None and is_taken and not is_wrong:
                self._buckets.give_back(name)
        if is_wrong:
            self._known.pop(digest, None)
            self._log("a wrong token", address)
        else:
            self._remember(digest)
        return principal

    def _log(self, what: str, address: str) -> None:
        if (count := self._ration.take(self._now())) is not None:
            logger.warning(
                "refused: %s (from %s; %d refused since the last line)", what, address, count
            )

    def _remember(self, digest: bytes) -> None:
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
