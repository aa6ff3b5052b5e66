"""The chat page and the browser client, as files; and whether the service is alive and ready."""

import re
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.convertors import Convertor, register_url_convertor
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from turnwire_browser import STATIC
from turnwire_server.errors import Rejected
from turnwire_server.transports.access import Access
from turnwire_server.transports.answers import Health, Ready, Unready, json_answer
from turnwire_server.transports.http import (
    Responses,
    TurnwireErrorReply,
    error_response,
    guarded,
    refusals,
)

__all__ = ["health_router", "page_router"]

_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        # blob: for images whose bytes came with the token: the page fetched them itself.
        "default-src 'self'; img-src 'self' blob:; base-uri 'self'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_REFUSALS = refusals(of_principal=False)
_HEALTH: Responses = {**_REFUSALS, 200: {"content": json_answer(Health)}}
_READY: Responses = {
    **_REFUSALS,
    200: {"content": json_answer(Ready)},
    503: {**_REFUSALS[503], "content": json_answer(Unready | TurnwireErrorReply)},
}
_FILES = StaticFiles(directory=STATIC)
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}


_PATHS = {
    path.relative_to(STATIC).as_posix(): path
    for path in sorted(STATIC.rglob("*"))
    if path.suffix in _TYPES
} | {"": STATIC / "index.html"}


class _Name(Convertor[str]):
    """What stands below the prefix for one of the files."""

    regex = "|".join(map(re.escape, _PATHS))

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("turnwire_file", _Name())


def page_router(access: Access) -> APIRouter:
    """One route that matches the names of the files, so that nothing else below the prefix is
    shadowed: a route for each of them was half of what it costs to make an app.

    Any page may link here and import the module (CORS): the files hold no secrets.
    """
    router = APIRouter(include_in_schema=False)

    @router.api_route("/{name:turnwire_file}", methods=["GET", "HEAD"])
    def serve(request: Request) -> Response:
        try:
            access.check_host(request)
        except Rejected as refused:
            return error_response(refused.code, refused.message, retryable=refused.retryable)
        path = _PATHS[request.path_params["name"]]
        headers = dict(_HEADERS)
        if path.suffix == ".js":
            headers["Access-Control-Allow-Origin"] = "*"
        response = FileResponse(
            path, headers=headers, media_type=_TYPES[path.suffix], stat_result=path.stat()
        )
        if _FILES.is_not_modified(response.headers, request.headers):
            return NotModifiedResponse(response.headers)
        return response

    return router


def health_router(access: Access, *, unready: Callable[[], dict[str, str] | None]) -> APIRouter:
    """`/health`: alive. `/ready`: able to take work, otherwise 503.

    `unready` gives a code and perhaps since when (RFC 3339); None: the service is ready.
    """
    router = APIRouter(tags=["turnwire"], route_class=guarded(access, needs_principal=False))

    @router.head("/health", include_in_schema=False)
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
