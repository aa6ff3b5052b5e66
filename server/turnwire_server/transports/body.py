"""The bytes of request bodies, read within bounds; knows no endpoint."""

import asyncio

from fastapi import Request

from turnwire_protocol import Code
from turnwire_server.core.limits import Places, ServiceLimits
from turnwire_server.errors import Rejected
from turnwire_server.transports.http import principal_of

__all__ = ["Bodies"]


class Bodies:
    """How the bodies of commands are read: bounded in size, in time and in number per principal."""

    def __init__(self, limits: ServiceLimits, *, max_bytes: int | None = None) -> None:
        """`max_bytes`: of one body, unless it is `limits.max_frame_bytes`."""
        self._max_bytes = limits.max_frame_bytes if max_bytes is None else max_bytes
        self._timeout_seconds = limits.body_timeout_seconds
        self._seconds_per_byte = 1 / limits.min_body_bytes_per_second
        self._under_way = Places("bodies", limits.max_bodies)

    async def read(self, request: Request) -> bytes:
        """The body of a request to a guarded endpoint.

        Raises:
            Rejected: it is too large, comes too slowly, or with too many others.
        """
        data = bytearray()
        now = asyncio.get_running_loop().time()
        try:
            with self._under_way.taken(principal_of(request)):
                async with asyncio.timeout_at(now + self._timeout_seconds) as deadline:
                    async for chunk in request.stream():
                        data += chunk
                        if len(data) > self._max_bytes:
                            raise Rejected(Code.TOO_LARGE, f"body: at most {self._max_bytes} bytes")
                        more = len(data) * self._seconds_per_byte
                        deadline.reschedule(now + self._timeout_seconds + more)
        except TimeoutError:
            raise Rejected(Code.TIMEOUT, "body: it comes too slowly") from None
        return bytes(data)
