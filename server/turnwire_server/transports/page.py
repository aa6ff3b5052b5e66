"""The chat page and the browser client, as files; and whether the service is alive and ready."""

import re
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.convertors import Convertor, register_url_convertor

from turnwire_browser import BUILT
from turnwire_server.errors import Rejected
from turnwire_server.page_options import PageOptions
from turnwire_server.transports.access import Access
from turnwire_server.transports.answers import Health, Ready, Unready, json_answer
from turnwire_server.transports.endpoints import guarded
from turnwire_server.transports.http import (
    Responses,
    TurnwireErrorReply,
    error_response,
    refusals,
)
from turnwire_server.transports.page_files import OUTDATED, dressed, outdated, page_files

__all__ = ["health_router", "page_router"]

_REFUSALS = refusals(of_principal=False)
_HEALTH: Responses = {
    **_REFUSALS,
    200: {"content": json_answer(Health)},
    # The one place that names the model, to which all others refer.
    "default": {**_REFUSALS["default"], "model": TurnwireErrorReply},
}
_READY: Responses = {
    **_REFUSALS,
    200: {"content": json_answer(Ready)},
    503: {**_REFUSALS[503], "content": json_answer(Unready | TurnwireErrorReply)},
}
_FILES = page_files(BUILT)


class _Name(Convertor[str]):
    """What stands below the prefix for one of the files, or once stood there."""

    regex = "|".join([*map(re.escape, _FILES), OUTDATED])

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("turnwire_file", _Name())


def page_router(access: Access, options: PageOptions) -> APIRouter:
    """One route that matches the names of the files, so that nothing else below the prefix is
    shadowed: a route for each of them was half of what it costs to make an app.

    Any page may link here: the files hold no secrets.
    """
    router = APIRouter(include_in_schema=False)
    files = dressed(_FILES, options)

    @router.api_route("/{name:turnwire_file}", methods=["GET", "HEAD"])
    async def serve(request: Request) -> Response:
        try:
            access.check_host(request)
        except Rejected as refused:
            return error_response(refused.code, refused.message, retryable=refused.retryable)
        name = request.path_params["name"]
        return (files.get(name) or outdated(files, name)).response(request)

    return router


def health_router(access: Access, *, unready: Callable[[], dict[str, str] | None]) -> APIRouter:
    """`/health`: alive. `/ready`: able to take work, otherwise 503.

    `unready` gives a code and perhaps since when (RFC 3339); None: the service is ready.
    """
    router = APIRouter(tags=["turnwire"], route_class=guarded(access, needs_principal=False))

    @router.head("/health", include_in_schema=False, response_model=None)
    @router.get("/health", responses=_HEALTH, response_model=None)
    async def health() -> Health:
        """Alive."""
        return {"status": "ok"}

    @router.head("/ready", include_in_schema=False)
    @router.get("/ready", responses=_READY, response_model=None)
    async def ready() -> JSONResponse:
        """Able to take work: the store can be written, and it does not drain."""
        reason = unready()
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "unavailable", **reason}, 503)

    return router
