"""The service's HTTP, by the standard library in a thread; knows no endpoint."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from http.client import HTTPException
from threading import Thread
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from pydantic_core import from_json

from turnwire.connection import LOOPBACK, SOCKET_PATH, bearer
from turnwire.errors import BadArgument, CannotConnect, ConnectionRefused, Rejected, rejected
from turnwire_protocol import Reject

__all__ = ["Http"]

TIMEOUT_SECONDS = 60.0
MAX_PROBLEM_BYTES = 64 * 1024
MAX_AT_ONCE = 16

ResultT = TypeVar("ResultT")


class _NoRedirect(HTTPRedirectHandler):
    """What is asked for with a token is not asked for elsewhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Http:
    """The service whose socket is at `address`; `url` is what its paths begin with."""

    def __init__(self, address: str, token: str | None) -> None:
        self.url = f"http{address.removeprefix('ws').removesuffix(SOCKET_PATH)}"
        self.headers = bearer(token) if token else {}
        # A proxy from the environment cannot reach this machine's own loopback.
        loopback = urlsplit(address).hostname in LOOPBACK
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._opener = build_opener(ProxyHandler({} if loopback else None), _NoRedirect)

    async def ask(self, request: Request, *, max_bytes: int) -> bytes:
        """The body of the answer, and no more than a byte beyond `max_bytes` of it.

        Raises:
            Rejected: the service does not do it.
            BadArgument: a header cannot be one.
            CannotConnect, ConnectionRefused: it cannot be asked.
        """
        async with self._places:
            return await _in_daemon(lambda: self._open(request, max_bytes))

    def _open(self, request: Request, max_bytes: int) -> bytes:
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                body: bytes = response.read(max_bytes + 1)
                return body
        except HTTPError as error:
            with error:
                raise _refusal(self.url, error) from error
        except (OSError, HTTPException) as error:
            raise CannotConnect(self.url, str(error) or type(error).__name__) from error
        except ValueError as error:
            # Never what it is: it may be the token.
            raise BadArgument("the media type or the token cannot be a header") from error


async def _in_daemon(work: Callable[[], ResultT]) -> ResultT:
    """What the work gives, in a thread of its own.

    A thread cannot be stopped: after a cancellation it runs on until its own time-out. Python's
    pool would have the loop, and the end of the program, wait for that.
    """
    ended: Future[ResultT] = Future()
    ended.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            # Boundary: the thread's root. Whoever waits raises it.
            ended.set_exception(error)
        else:
            ended.set_result(result)

    Thread(target=run, name="turnwire http", daemon=True).start()
    return await asyncio.wrap_future(ended)


def _refusal(url: str, error: HTTPError) -> Rejected | ConnectionRefused:
    """What the service says is wrong, or, where it was not the service, the status."""
    try:
        told = from_json(error.read(MAX_PROBLEM_BYTES))
        return rejected(Reject.model_validate(told["error"]))
    except (ValueError, TypeError, KeyError, OSError, HTTPException):
        return ConnectionRefused(url, str(error.reason), status=error.code)
