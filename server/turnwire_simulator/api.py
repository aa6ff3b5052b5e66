"""The simulated Claude API over HTTP; what it accepts and answers is decided elsewhere."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Set
from types import TracebackType
from typing import Self

from aiohttp import web

from turnwire_simulator.answer import Answer, message_of
from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.compaction import shown
from turnwire_simulator.controls import ErrorEvent
from turnwire_simulator.counts import Counts, Ending
from turnwire_simulator.errors import Rejected
from turnwire_simulator.fault import TYPES, Fault
from turnwire_simulator.files import Files
from turnwire_simulator.models import MODELS
from turnwire_simulator.playback import play
from turnwire_simulator.program import Item, Program, SummaryItem
from turnwire_simulator.prompt_cache import tokens_of
from turnwire_simulator.refusals import Refusals
from turnwire_simulator.stages import HttpStage, SilentStage
from turnwire_simulator.strict import judge
from turnwire_simulator.thread import SimulatorThread

__all__ = ["Item", "Simulator"]

logger = logging.getLogger(__name__)

# https://docs.claude.com/en/api/errors#request-size-limits
MAX_REQUEST_BYTES = 32 * 1024 * 1024
KEPT_REQUESTS = 1000


class Simulator:
    """A strict, programmable stand-in for the Claude Messages API on a port of this machine.

    Each request takes the next item of the program; with none left the demo answers. A request
    the API would refuse gets the API's error and takes no item. `port` 0 takes any free one.
    `api_key` None accepts any key; no key at all is a 401. `tokens_per_second` paces each answer;
    None sends it flat out. `windows`: how many tokens the models of these names, or beginnings of
    names, take in; others take in what comes. Lives in the event loop that enters it.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        api_key: str | None = None,
        tokens_per_second: float | None = None,
        windows: Mapping[str, int] | None = None,
    ) -> None:
        self.url = ""
        """Base URL, known once the simulator has been entered."""
        self.requests: list[ApiObject] = []
        """Parsed bodies in order of arrival, those of refused requests too; the newest 1000."""
        self.betas: list[set[str]] = []
        """The betas that each of them asked for."""
        self.files = Files()
        """What its tools have made."""
        self.rejections: list[str] = []
        """Why requests were refused that the API would not take; programmed faults are not here."""
        self._host = host
        self._port = port
        self._api_key = api_key
        self._tokens_per_second = tokens_per_second
        self._windows = windows or {}
        self._program = Program()
        self._counts = Counts()
        self._refusals = Refusals()
        self._open_transports: set[asyncio.Transport] = set()
        self._closing = False
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/files/{id}", self._file)
        app.router.add_get("/v1/files/{id}/content", self._file)
        app.router.add_get("/_simulator", self._report)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0
        )

    def __enter__(self) -> Self:
        """For code without an event loop: it lives in a thread of its own, until the end of the
        `with`. What is programmed is; gates are for the loop of the simulator."""
        self._thread = SimulatorThread(self)
        self._thread.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.end()

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        port = self._runner.addresses[0][1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A stalled stream never ends by itself: end all, so that the runner need not wait.
        self._closing = True
        for transport in self._open_transports:
            transport.abort()
        await self._counts.wait(lambda: self._counts.open == 0)
        await self._runner.cleanup()

    def program(self, *items: Item) -> None:
        """Appends answers, faults, or functions from a request's body to one, to the program."""
        self._program.items.extend(items)

    def program_summaries(self, *items: SummaryItem) -> None:
        """What the next summaries are: texts, None for one that fails, or what `program` takes.

        Without it they are the simulator's own. Requests for one take no item of the program.
        """
        self._program.summaries.extend(items)

    def take_back(self) -> int:
        """Forgets what is programmed and was not asked for; gives how many items that were."""
        count = len(self._program.items) + len(self._program.summaries)
        self._program.items.clear()
        self._program.summaries.clear()
        return count

    def answer_with(self, answer: Callable[[ApiObject], Answer | Fault]) -> None:
        """Answers requests for which nothing is programmed by this function of their bodies."""
        self._program.otherwise = answer

    @property
    def open_streams(self) -> int:
        """Answers being sent now, of streaming and of plain requests."""
        return self._counts.open

    @property
    def finished_streams(self) -> int:
        """Answers sent to their `message_stop`."""
        return self._counts.ended[Ending.FINISHED]

    @property
    def aborted_streams(self) -> int:
        """Answers whose client closed the connection before `message_stop`."""
        return self._counts.ended[Ending.ABORTED]

    @property
    def broken_streams(self) -> int:
        """Answers that their own script ended before `message_stop`."""
        return self._counts.ended[Ending.BROKEN]

    async def wait(self, predicate: Callable[[], bool]) -> None:
        """Returns as soon as the predicate holds, which is asked again whenever a count changes."""
        await self._counts.wait(predicate)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        request_id = f"req_{secrets.token_hex(12)}"
        try:
            body, betas = await self._admit(request)
            item = self._program.answer(body, betas)
        except Rejected as rejected:
            self.rejections.append(str(rejected))
            item = Fault(rejected.status, rejected.type, rejected.message, code=rejected.code)
        if isinstance(item, Fault):
            logger.info("%s: %d %s", request_id, item.status, item.message)
            if item.is_endless:
                return await self._endless(request, item, request_id)
            return _refusal(item, request_id)
        logger.info("%s: %s, %d messages", request_id, body["model"], len(body["messages"]))
        if body.get("stream"):
            return await self._stream(request, body, item, request_id)
        return await self._plain(request, body, item, request_id)

    async def _admit(self, request: web.Request) -> tuple[ApiObject, Set[str]]:
        try:
            body = _parse(await request.read())
        except web.HTTPRequestEntityTooLarge as error:
            message = "Request exceeds the maximum size"
            raise Rejected(message, status=413, type=TYPES[413]) from error
        except (ValueError, RecursionError) as error:
            raise Rejected("The request body is not valid JSON") from error
        if not isinstance(body, dict):
            raise Rejected("Input should be an object")
        self.requests.append(body)
        del self.requests[:-KEPT_REQUESTS]
        self.betas.append(_betas(request))
        del self.betas[:-KEPT_REQUESTS]
        self._counts.request()
        _authenticate(request, self._api_key)
        betas = self.betas[-1]
        judge(body, betas)
        self._refusals.judge(body)
        for name, window in self._windows.items():
            if not body["model"].startswith(name):
                continue
            if (tokens := tokens_of(shown(body))) > window:
                raise Rejected(f"prompt is too long: {tokens} tokens > {window} maximum")
        return body, betas

    async def _stream(
        self, request: web.Request, body: ApiObject, answer: Answer, request_id: str
    ) -> web.StreamResponse:
        headers = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "request-id": request_id,
        }
        response = web.StreamResponse(headers=headers)
        await self._perform(answer, body, HttpStage(request, response))
        return response

    async def _endless(
        self, request: web.Request, fault: Fault, request_id: str
    ) -> web.StreamResponse:
        """Sends the fault's body over and over until the client has had enough."""
        headers = fault.headers(request_id)
        response = web.StreamResponse(status=fault.status, headers=headers)
        stage = HttpStage(request, response)
        self._counts.begin()
        self._open_transports.add(stage.transport)
        try:
            await stage.open()
            while not self._closing:
                await stage.write(fault.content(request_id))
        finally:
            self._open_transports.discard(stage.transport)
            self._counts.end(Ending.ABORTED)
        return response

    async def _plain(
        self, request: web.Request, body: ApiObject, answer: Answer, request_id: str
    ) -> web.StreamResponse:
        ending = await self._perform(answer, body, SilentStage(request))
        if ending is Ending.FINISHED:
            message = message_of(answer.events())
            return web.json_response(message, headers={"request-id": request_id})
        errors = [step for step in answer.script if isinstance(step, ErrorEvent)]
        kind = errors[0].type if errors else TYPES[500]
        status = next((status for status, name in TYPES.items() if name == kind), 500)
        reason = errors[0].message if errors else "Internal server error"
        return _refusal(Fault(status, kind, reason), request_id)

    async def _perform(self, answer: Answer, body: ApiObject, stage: SilentStage) -> Ending:
        """Plays the answer and counts how it ended."""
        transport = stage.transport
        ending = Ending.BROKEN
        self._counts.begin()
        self._open_transports.add(transport)
        try:
            await stage.open()
            rate = self._tokens_per_second
            if await play(answer, stage, tokens_per_second=rate):
                ending = Ending.FINISHED
                self._refusals.note(body, refused=answer.stop_reason == "refusal")
        except (asyncio.CancelledError, ConnectionError):
            if not self._closing:
                ending = Ending.ABORTED
            raise
        finally:
            self._open_transports.discard(transport)
            self._counts.end(ending)
        return ending

    async def _models(self, request: web.Request) -> web.Response:
        try:
            _authenticate(request, self._api_key)
        except Rejected as rejected:
            fault = Fault(rejected.status, rejected.type, rejected.message)
            return _refusal(fault, f"req_{secrets.token_hex(12)}")
        return web.json_response(
            {
                "data": MODELS,
                "has_more": False,
                "first_id": MODELS[0]["id"],
                "last_id": MODELS[-1]["id"],
            }
        )

    async def _file(self, request: web.Request) -> web.Response:
        """A file's metadata, or what is in it."""
        try:
            _authenticate(request, self._api_key)
            if self.files.is_away:
                raise Rejected("Internal server error", status=500, type=TYPES[500])
            file = self.files.find(request)
            if file is None:
                raise Rejected("File not found", status=404, type=TYPES[404])
            if not request.path.endswith("/content"):
                return web.json_response(file.metadata())
            if not file.is_downloadable:
                raise Rejected("File is not downloadable")
            return web.Response(body=file.content, content_type="application/octet-stream")
        except Rejected as rejected:
            fault = Fault(rejected.status, rejected.type, rejected.message)
            return _refusal(fault, f"req_{secrets.token_hex(12)}")

    async def _report(self, request: web.Request) -> web.Response:
        """The counts, for other processes."""
        return web.json_response(
            {
                "requests": self._counts.requests,
                "open": self.open_streams,
                "finished": self.finished_streams,
                "aborted": self.aborted_streams,
                "broken": self.broken_streams,
            }
        )


def _parse(data: bytes) -> object:
    body: object = json.loads(data)
    if b"\\ud" in data.lower():
        # Half a surrogate pair is a Python string but not text: the API calls it bad JSON.
        json.dumps(body, ensure_ascii=False).encode()
    return body


def _betas(request: web.Request) -> set[str]:
    named = request.headers.get("anthropic-beta", "").split(",")
    return {beta for name in named if (beta := name.strip())}


def _authenticate(request: web.Request, api_key: str | None) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = request.headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
    if not given:
        raise Rejected("x-api-key header is required", status=401, type=TYPES[401])
    if api_key is not None and given != api_key:
        raise Rejected("invalid x-api-key", status=401, type=TYPES[401])


def _refusal(fault: Fault, request_id: str) -> web.Response:
    return web.Response(
        body=fault.content(request_id), status=fault.status, headers=fault.headers(request_id)
    )
