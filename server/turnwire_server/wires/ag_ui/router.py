"""The endpoints of AG-UI, and the routes that CopilotKit's front end asks for."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from turnwire_protocol import Code
from turnwire_server.transports.endpoints import body_of, described, per_service
from turnwire_server.transports.http import principal_of, refusals
from turnwire_server.transports.service import service_of
from turnwire_server.wires.ag_ui.run_input import RunInput
from turnwire_server.wires.ag_ui.runs import connect, run, stop
from turnwire_server.wires.refusal import TEXT, text_refusal

__all__ = ["ag_ui_routes"]

_AGENT = "default"
"""The name under which CopilotKit looks for an agent where a page names none."""

_OF_RUNS = (
    Code.ALREADY_DECIDED,
    Code.BAD_COMMAND,
    Code.BUSY,
    Code.KEY_REUSED,
    Code.TIMEOUT,
    Code.TOO_LARGE,
    Code.UNKNOWN_CONVERSATION,
    Code.UNKNOWN_TURN,
)
_REFUSALS = refusals(error=TEXT)
_STREAMING: dict[str, Any] = {
    "responses": {
        **refusals(*_OF_RUNS, error=TEXT),
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
    },
    "response_class": Response,
    "response_model": None,
    "openapi_extra": described(RunInput),
}


def _make(router: APIRouter) -> None:
    body = body_of(RunInput, is_command=False)

    @router.post("", **_STREAMING)
    async def post_run(request: Request, input: Annotated[RunInput, body]) -> Response:
        """AG-UI's one endpoint: `new HttpAgent({url})`."""
        return await run(service_of(request), principal_of(request), input)

    # CopilotKit: `<CopilotKit runtimeUrl=".../v1/ag-ui">`.

    @router.get("/info", responses=_REFUSALS)
    async def info() -> dict[str, Any]:
        """What a page wants to know of its runtime before anything else."""
        agent = {"name": _AGENT, "description": "Claude", "className": "Turnwire"}
        return {
            "version": "1",
            "agents": {_AGENT: agent},
            "audioFileTranscriptionEnabled": False,
            "mode": "sse",
        }

    @router.post("/agent/{agent}/run", **_STREAMING)
    async def post_agent_run(
        request: Request, agent: str, input: Annotated[RunInput, body]
    ) -> Response:
        """The same as `POST /v1/ag-ui`; there is one agent, whatever the page calls it."""
        return await run(service_of(request), principal_of(request), input)

    @router.post("/agent/{agent}/connect", **_STREAMING)
    async def post_agent_connect(
        request: Request, agent: str, input: Annotated[RunInput, body]
    ) -> Response:
        """The conversation of a page that was loaded again, and what is unfinished of it, live."""
        # The app may serve us below a prefix of its own.
        blobs = f"{request.url.path.rpartition('/v1/ag-ui/')[0]}/v1/blobs"
        return await connect(service_of(request), principal_of(request), input, blobs=blobs)

    @router.post("/agent/{agent}/stop/{thread:path}", responses=_REFUSALS)
    async def post_agent_stop(request: Request, agent: str, thread: str) -> dict[str, bool]:
        """Stop what runs in a thread."""
        return {"stopped": await stop(service_of(request), principal_of(request), thread)}

    # Behind the others: a thread's name may have anything in it.
    @router.post("/{thread:path}/stop", responses=_REFUSALS)
    async def post_stop(request: Request, thread: str) -> dict[str, bool]:
        """Stop what runs in a thread. `abortRun` of an `HttpAgent` only hangs up."""
        return {"stopped": await stop(service_of(request), principal_of(request), thread)}


ag_ui_routes = per_service(
    _make,
    prefix="/v1/ag-ui",
    tag="ag_ui",
    # Their clients show the body of a failed request: text, for people.
    refusal=text_refusal,
    error=TEXT,
)
"""All endpoints of the wire."""
