"""The endpoints of AG-UI, and the routes that CopilotKit's front end asks for."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from turnwire_server.transports.body import body_of
from turnwire_server.transports.http import guarded, principal_of
from turnwire_server.wires.ag_ui.run_input import RunInput
from turnwire_server.wires.ag_ui.runs import connect, run, stop
from turnwire_server.wires.refusal import text_refusal
from turnwire_server.wires.service import Service

__all__ = ["ag_ui_router"]

_AGENT = "default"
"""The name under which CopilotKit looks for an agent where a page names none."""

_STREAM_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
}


def ag_ui_router(service: Service) -> APIRouter:
    """All endpoints of the wire."""
    # Their clients show the body of a failed request: text, for people.
    guard = guarded(service.access, refusal=text_refusal)
    router = APIRouter(prefix="/v1/ag-ui", tags=["ag_ui"], route_class=guard)
    body = body_of(RunInput, service.bodies)
    streaming: dict[str, Any] = {
        "responses": _STREAM_DOCS,
        "response_class": Response,
        "response_model": None,
    }

    @router.post("", **streaming)
    async def post_run(request: Request, input: Annotated[RunInput, body]) -> Response:
        """AG-UI's one endpoint: `new HttpAgent({url})`."""
        return await run(service, principal_of(request), input)

    # CopilotKit: `<CopilotKit runtimeUrl=".../v1/ag-ui">`.

    @router.get("/info")
    async def info() -> dict[str, Any]:
        """What a page wants to know of its runtime before anything else."""
        agent = {"name": _AGENT, "description": "Claude", "className": "Turnwire"}
        return {
            "version": "1",
            "agents": {_AGENT: agent},
            "audioFileTranscriptionEnabled": False,
            "mode": "sse",
        }

    @router.post("/agent/{agent}/run", **streaming)
    async def post_agent_run(
        request: Request, agent: str, input: Annotated[RunInput, body]
    ) -> Response:
        """The same as `POST /v1/ag-ui`; there is one agent, whatever the page calls it."""
        return await run(service, principal_of(request), input)

    @router.post("/agent/{agent}/connect", **streaming)
    async def post_agent_connect(
        request: Request, agent: str, input: Annotated[RunInput, body]
    ) -> Response:
        """The conversation of a page that was loaded again, and what is unfinished of it, live."""
        # The app may serve us below a prefix of its own.
        blobs = f"{request.url.path.rpartition('/v1/ag-ui/')[0]}/v1/blobs"
        return await connect(service, principal_of(request), input, blobs=blobs)

    @router.post("/agent/{agent}/stop/{thread:path}")
    async def post_agent_stop(request: Request, agent: str, thread: str) -> dict[str, bool]:
        """Stop what runs in a thread."""
        return {"stopped": await stop(service, principal_of(request), thread)}

    # Behind the others: a thread's name may have anything in it.
    @router.post("/{thread:path}/stop")
    async def post_stop(request: Request, thread: str) -> dict[str, bool]:
        """Stop what runs in a thread. `abortRun` of an `HttpAgent` only hangs up."""
        return {"stopped": await stop(service, principal_of(request), thread)}

    return router
