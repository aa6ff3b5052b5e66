"""Turnwire, put together: model, tools, store and transports behind one router, or as an app."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Unpack

from fastapi import APIRouter, FastAPI, WebSocket
from starlette.types import Scope

from turnwire_protocol import Code
from turnwire_server.alike import alike
from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import Places
from turnwire_server.core.past import PastTurn
from turnwire_server.core.telemetry import Readings
from turnwire_server.core.turn.hook_runner import HookRunner
from turnwire_server.core.turn.hooks import Hooks
from turnwire_server.core.turn.services import Services
from turnwire_server.errors import Rejected
from turnwire_server.inprocess.conversation import LocalConversation, check_title
from turnwire_server.model.late import LateClient
from turnwire_server.parts import mcp_servers_of, model_of, store_of, toolset_of
from turnwire_server.settings import SettingOptions, load_settings
from turnwire_server.stopping import STOPPING, waits_for
from turnwire_server.store.port import Head, Store
from turnwire_server.telemetry.metrics import Connections
from turnwire_server.telemetry.service import ServiceTelemetry
from turnwire_server.transports.access import Access, Authenticate, shared_token
from turnwire_server.transports.blobs import blobs_routes
from turnwire_server.transports.body import Bodies
from turnwire_server.transports.conversations import conversations_routes
from turnwire_server.transports.endpoints import preflights
from turnwire_server.transports.handshake import RECONNECT_SECONDS, Lobby, Peer, apart
from turnwire_server.transports.metrics import metrics_router
from turnwire_server.transports.page import health_router, page_router
from turnwire_server.transports.rest import rest_routes
from turnwire_server.transports.service import Service
from turnwire_server.transports.websocket import Connection
from turnwire_server.transports.wrong_tokens import WrongTokens
from turnwire_server.wires.wires import WIRES

if TYPE_CHECKING:
    from turnwire_server.model.clients import Client

__all__ = ["Turnwire", "create_app"]

logger = logging.getLogger(__name__)

_NOT_STARTED = (
    "Turnwire has not been started: the lifespan of its router did not run. Use"
    " app.include_router(turnwire.router), because the lifespan of a mounted app never runs; with"
    " TestClient use `with TestClient(app) as client`; or call turnwire.start() and close()"
    " yourself"
)

_OTHER_LOOP = (
    "Turnwire runs in another event loop than this code. Call it from a coroutine of the app: an"
    " endpoint, a task of its lifespan; from a thread, with"
    " asyncio.run_coroutine_threadsafe; in a test with TestClient, with client.portal.call"
)
_LISTED_AT_ONCE = 100


class _State(Enum):
    NEW = auto()
    RUNNING = auto()
    CLOSED = auto()


class Turnwire:
    """The chat service, for your own FastAPI app: `app.include_router(Turnwire().router)`.

    `client` is any async client of the Anthropic SDK; without one, `provider` says which is made
    of the SDK's environment. `tools` are functions, `@tool`s, tools of the
    SDK, or names of files and modules with such. `authenticate` takes the `HTTPConnection` and
    returns the principal, or None. `is_demo`: clients are told that a simulator answers. `hooks`
    are asked about messages, turns and tool calls; `state` is given to them and to tools that have
    a `ToolContext`, else it is the `state` of the app that includes the router. All `Settings` are
    keywords too.

    When its server is told to stop (SIGTERM, Ctrl-C), it drains first: running turns get
    `drain_grace` seconds, then the server's own handlers run (`stopping.py`). A supervisor that
    kills after a time of its own must leave it that long: gunicorn's `--graceful-timeout`.
    hypercorn tells worker processes by no signal: with `--workers 0` it drains, otherwise it cuts
    streams off.

    What a transport of your own needs is public: `hub` takes commands and gives followers, `blobs`
    keeps images and documents, `access` says who asks (`transports.endpoints.endpoints` makes a
    router that applies it), `settings` holds the limits. A transport translates, and decides
    nothing.

    Raises:
        SettingsError: a setting or a tool is not valid, or the environment lacks what the provider
            wants.
        TypeError: the client is not async.
    """

    def __init__(
        self,
        *,
        client: "Client | LateClient | None" = None,
        tools: Iterable[object] | None = None,
        authenticate: Authenticate | None = None,
        store: Store | None = None,
        is_demo: bool = False,
        hooks: Hooks | None = None,
        state: object = None,
        **settings: Unpack[SettingOptions],
    ) -> None:
        self.settings = load_settings(**settings)
        self._is_demo = is_demo
        self._has_authenticator = authenticate is not None
        """One that the app has brought, which goes before the token."""
        if authenticate is None and self.settings.token is not None:
            authenticate = shared_token(self.settings.token)
        self.access = Access(
            authenticate,
            allow_origins=self.settings.allow_origins,
            allow_hosts=self.settings.allow_hosts,
            unserved=self._unserved,
            max_requests_per_second=self.settings.limits.max_requests_per_second,
            wrong_tokens=WrongTokens(
                self.settings.limits.max_wrong_tokens_per_minute, proxies=self.settings.proxies
            ),
        )
        # Without an authenticator only this machine is served: they are one's own errors.
        self._model = model_of(client, self.settings, is_own_machine=authenticate is None)
        store = store or store_of(self.settings.db, lease_seconds=self.settings.lease)
        self.blobs = Blobs(store.blobs, self.settings.limits)
        toolset = toolset_of(tools, self.settings, self.blobs)
        self._mcp = mcp_servers_of(self.settings, toolset)
        self._hooks = HookRunner(hooks, state=state)
        self._telemetry = ServiceTelemetry(
            self._model.upstream,
            models=self.settings.named_models,
            metrics=self.settings.metrics,
            trace_content=self.settings.trace_content,
            trace_users=self.settings.trace_users,
        )
        services = Services(
            hooks=self._hooks,
            model=self._model,
            toolset=toolset,
            # A simulator knows no title that says more than the first words.
            policy=self.settings.model_copy(update={"title_model": None})
            if is_demo
            else self.settings,
            blobs=self.blobs,
            has_list_prices=self._model.has_list_prices,
            telemetry=self._telemetry.watching,
        )
        self.hub = Hub(
            store,
            services,
            self.settings.limits,
            # Before MCP servers are asked: their tools are compared by the file that names them.
            alike=lambda: alike(
                self.settings, authenticate=authenticate, tools=toolset.specifications()
            ),
            commit_interval_seconds=self.settings.commit_interval,
        )
        self._peers: set[Peer] = set()
        self._sockets = Places("sockets", self.settings.limits.max_sockets)
        self._streams = Places("streams", self.settings.limits.max_streams)
        self._state = _State.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_told = False
        self.router = self._router()
        """HTTP, WebSocket, the chat page and the lifespan; include it under any prefix."""

    async def start(self, *, load: bool = True) -> None:
        """Open the store, connect to MCP servers. The router's lifespan does it; where it has been
        done before, to `drain` and `close` is for who did it, too. Without `load`, `load` is to be
        called, soon.

        Raises:
            SettingsError, StoreError: the store cannot be opened, or not read.
        """
        try:
            await self.hub.start()
            if self._mcp is not None:
                await self._mcp.start()
        except BaseException:
            await self.close()
            raise
        self._telemetry.start(self._readings)
        self._state = _State.RUNNING
        self._loop = asyncio.get_running_loop()
        if load:
            self._model.begin_to_load()

    async def load(self) -> None:
        """Import the SDK, where it has not been needed before; returns when that is done. Turns are
        taken meanwhile, and wait for it."""
        await self._model.load()

    # For code of the same process

    def conversation(self, principal: str, id: str | None = None) -> LocalConversation:
        """A conversation of the principal, as the Python client has it, without a socket; without
        an id, a new one. Nothing is looked up yet: what is not there is refused when it is used.

        Its methods raise `Rejected` while the service does not run, and `RuntimeError` in another
        event loop than the service's.
        """
        return LocalConversation(self.hub, principal, id, check=self._check_running)

    async def conversations(
        self, principal: str, *, query: str | None = None
    ) -> AsyncIterator[Head]:
        """The principal's conversations, newest first; with `query` those that have it in their
        title.

        Raises:
            Rejected: the store cannot be read, or the service does not run.
        """
        before: str | None = None
        while True:
            self._check_running()
            page = await self.hub.list_heads(
                principal, limit=_LISTED_AT_ONCE, before=before, query=query
            )
            for head in page:
                yield head
            if len(page) < _LISTED_AT_ONCE:
                return
            before = page[-1].position

    async def import_conversation(
        self, principal: str, past: Sequence[PastTurn], *, title: str | None = None
    ) -> LocalConversation:
        """A new conversation of the principal that begins with what was said in another service:
        ordinary turns, for readers and for the model, of the model `imported`.

        Raises:
            Rejected: there is no turn in it, or none that a `send` could begin, a title without or
                with too many characters, an attachment is not the principal's, there are too many
                conversations, or it cannot be stored. Nothing of it is kept then.
        """
        self._check_running()
        if title is not None:
            check_title(title)  # Before anything is stored.
        conversation = self.conversation(principal, await self.hub.begin(principal, past))
        if title is not None:
            await conversation.rename(title)
        return conversation

    def _check_running(self) -> None:
        if (refused := self._unserved()) is not None:
            raise refused
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(_OTHER_LOOP)

    def _readings(self) -> tuple[Readings, Connections]:
        connections = Connections(sockets=self._sockets.total, streams=self._streams.total)
        return self.hub.readings(), connections

    def waits_for(self) -> str | None:
        """What a drain would wait for, for people; None: for nothing."""
        return waits_for(self.hub.unfinished, self.settings.drain_grace)

    async def drain(self, grace_seconds: float | None = None) -> None:
        """Begin nothing new, tell the clients, and let what runs finish within the grace time.

        What is left then ends `interrupted`. `GET /ready` says 503 from now on. Called again, with
        another grace time, it is the shorter one that counts.
        """
        if not self.hub.is_draining:
            for peer in self._peers:
                peer.going_away(RECONNECT_SECONDS)
        grace = self.settings.drain_grace if grace_seconds is None else grace_seconds
        await self.hub.drain(grace)

    async def close(self) -> None:
        """End what runs (`interrupted`) and store it. The router's lifespan does it."""
        self._state = _State.CLOSED
        await self.hub.close()
        self._telemetry.close()
        if self._mcp is not None:
            await self._mcp.close()
        await self._model.close()

    def _unready(self) -> dict[str, str] | None:
        """Why no work can be taken now; None if it can."""
        if self.hub.is_draining:
            return {"code": Code.DRAINING}
        if (since := self.hub.trouble_since) is not None:
            # What failed is for the log: it may name files of this machine.
            return {"code": Code.STORAGE_UNAVAILABLE, "since": since}
        if self._model.has_failed:
            return {"code": Code.INTERNAL}
        return None

    def _unserved(self) -> Rejected | None:
        """Why nothing at all can be answered now; None if it can."""
        if self._state is _State.RUNNING:
            return None
        if self._state is _State.CLOSED:
            return Rejected(Code.DRAINING, "the server is going away")
        if not self._is_told:
            logger.error(_NOT_STARTED)
        self._is_told = True
        return Rejected(Code.STORAGE_UNAVAILABLE, _NOT_STARTED, retryable=False)

    def _router(self) -> APIRouter:
        access, hub = self.access, self.hub

        @asynccontextmanager
        async def lifespan(app: object) -> AsyncIterator[None]:
            if self._hooks.state is None:
                self._hooks.state = getattr(app, "state", None)
            if self._state is _State.RUNNING:
                yield
                return
            await self.start()
            STOPPING.join(self)
            try:
                yield
            finally:
                STOPPING.leave(self)
                await self.close()

        router = APIRouter(lifespan=lifespan)
        limits = self.settings.limits
        lobby = Lobby(limits.max_sockets_before_hello)

        @router.websocket("/v1/ws")
        async def websocket(socket: WebSocket) -> None:
            await apart(socket, serve)

        async def serve(socket: WebSocket) -> None:
            connection = Connection(
                socket,
                access=access,
                hub=hub,
                lobby=lobby,
                places=self._sockets,
                limits=limits,
                models=self.settings.all_models,
                client_options=self.settings.client_options,
                is_demo=self._is_demo,
            )
            self._peers.add(connection)
            try:
                await connection.run()
            finally:
                self._peers.discard(connection)

        service = Service(
            hub=hub,
            blobs=self.blobs,
            access=access,
            policy=self.settings,
            limits=limits,
            commands=Bodies(limits),
            bodies=Bodies(limits, max_bytes=limits.max_wire_body_bytes),
            streams=self._streams,
            sockets=self._sockets,
            peers=self._peers,
            # A little ahead of the WebSocket's, for proxies that count.
            keepalive_seconds=0.75 * limits.heartbeat_seconds,
        )
        routes = [
            *conversations_routes(service),
            *rest_routes(service),
            preflights(access),
            *(route for wire in self.settings.wires for route in WIRES[wire](service)),
            *blobs_routes(service),
            *health_router(access, unready=self._unready).routes,
            *page_router(access, self.settings.page).routes,
        ]
        if self._telemetry.shown is not None:
            needs_token = self.settings.token is not None and not self._has_authenticator
            shown = self._telemetry.shown
            routes += metrics_router(access, shown, needs_token=needs_token).routes
        router.routes.extend(routes)
        return router


def create_app(turnwire: Turnwire) -> FastAPI:
    """The service as an app of its own."""

    def is_look(scope: Scope) -> bool:
        return str(scope["path"]).endswith(("/health", "/metrics", "/ready"))

    app = FastAPI(
        title="Turnwire",
        version="1",
        summary="Realtime chat for Claude",
        # A socket lasts for days, and who asks how the service is asks every second.
        telemetry={"exclude": lambda scope: scope["type"] == "websocket" or is_look(scope)},
        lifespan=turnwire.router.lifespan_context,
    )
    # Not `include_router`, which builds every route anew.
    app.router.routes.extend(turnwire.router.routes)
    return app
