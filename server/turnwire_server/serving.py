"""One process that serves: its socket, its store, uvicorn; how it begins and how it ends."""

import asyncio
import atexit
import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from turnwire_server.app import Turnwire, create_app
from turnwire_server.connections import raise_descriptors
from turnwire_server.errors import SettingsError
from turnwire_server.heap import keep_small, spare_the_collector
from turnwire_server.listener import DrainingServer, bind, listen, server_for
from turnwire_server.model.late import LateClient, is_bare, late_client
from turnwire_server.model.providers import Provider
from turnwire_server.parts import store_of
from turnwire_server.settings import Settings, default_db, exported_signals, load_settings
from turnwire_server.telemetry.json_log import JsonFormatter
from turnwire_server.telemetry.otel_sdk import set_up
from turnwire_server.transports.access import is_loopback

if TYPE_CHECKING:
    from turnwire_server.model.clients import Client

__all__ = [
    "End",
    "Serving",
    "announce",
    "listen_on",
    "log_as",
    "log_to_stderr",
    "node_at",
    "say_waiting",
    "serve_on",
    "settings_of",
]

_GRACE_SECONDS = 2.0
_DEMO_TOKENS_PER_SECOND = 50.0
_QUIET = (
    "turnwire_simulator",
    "httpx2",
    "httpx",
    "anthropic",
    "mcp",
    "uvicorn.error",
    "asyncio",
    "aiohttp.access",
    "opentelemetry",
)
"""Loggers whose everyday lines say nothing to operators, or addresses with keys in them."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A service that has started in this process."""

    turnwire: Turnwire
    server: DrainingServer
    listener: socket.socket
    is_demo: bool


def log_to_stderr(of: str = "") -> None:
    """The log of this process, on stderr; `of` says of which one, if there are more."""
    form = f"%(asctime)s %(levelname)s {of}%(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
    for quiet in _QUIET:
        logging.getLogger(quiet).setLevel(logging.WARNING)


def log_as(format: Literal["text", "json"], of: str = "") -> None:
    """How it is written from now on, once that is known."""
    if format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter(of=of))


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings of a service on a port of its own, which is to be kept if nothing else is said.

    Raises:
        SettingsError: one of them is not valid, or must not be with another.
    """
    settings = load_settings(**given)
    if settings.token is None and not is_loopback(settings.host):
        raise SettingsError(
            f"host: without a token only this machine is served, so {settings.host} is refused."
            " Set --token or TURNWIRE_TOKEN, or listen on 127.0.0.1"
        )
    if settings.db is None:
        return settings.model_copy(update={"db": default_db()})
    return settings


def listen_on(settings: Settings, *, is_shared: bool = False) -> socket.socket:
    """See `bind`.

    Raises:
        SettingsError: somebody else has the address, or nobody can.
    """
    host, port = settings.host, settings.port
    try:
        return bind(host, port, is_shared=is_shared)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}. Choose another with --port"
        ) from error


def node_at(listener: socket.socket) -> str:
    """What no two machines' processes are at the same time: where this one listens."""
    host, port = listener.getsockname()[:2]
    return f"{socket.gethostname()} {host}:{port}"


def announce(listener: socket.socket, settings: Settings, *, is_demo: bool) -> None:
    """Say where the service is."""
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    click.echo(f"Turnwire is on {address}  (Ctrl-C stops it)")
    if is_demo:
        click.echo("No API key: this is the demo, a simulator answers. Set ANTHROPIC_API_KEY.")
    if settings.token is not None:
        click.echo(f"Open {address}/#/token=…  with the token you set.")


def say_waiting(what: str | None) -> None:
    """Say what a drain waits for, if it does."""
    if what is not None:
        click.echo(f"Stopping: waiting for {what}. Ctrl-C again ends it now.", err=True)


async def serve_on(
    listener: socket.socket,
    given: Mapping[str, Any],
    settings: Settings,
    *,
    node: str,
    end: "End",
    started: Callable[[Serving], None],
    draining: Callable[[Turnwire], None],
) -> None:
    """Serve until the process is told to stop, and has drained; `given` of the settings comes from
    the command line. The listener is closed in the end.

    Raises:
        SettingsError, StoreError: it cannot start; nothing has been served.
    """
    with listener:
        async with _client(settings.provider) as (client, is_demo):
            raise_descriptors()
            end_export = set_up(signals) if (signals := exported_signals()) else None
            tools: list[object] = [*settings.tools]
            if is_demo and not tools:
                from turnwire_server.tools.demo import tools as demo_tools

                tools += [tool for tool in demo_tools if tool.name not in settings.server_tools]
            turnwire = Turnwire(
                client=client,
                store=store_of(settings.db, node=node, lease_seconds=settings.lease),
                is_demo=is_demo,
                **{**given, "tools": tools},
            )

            async def drain() -> None:
                draining(turnwire)
                await turnwire.drain()

            server = server_for(
                create_app(turnwire),
                limits=settings.limits,
                proxies=settings.proxies,
                grace_seconds=_GRACE_SECONDS,
                drain=drain,
            )
            await turnwire.start(load=False)  # Before it is said that it runs.
            listen(listener)
            started(Serving(turnwire=turnwire, server=server, listener=listener, is_demo=is_demo))
            spare_the_collector()
            small = asyncio.create_task(_settle(turnwire, server), name="heap")
            try:
                await server.serve(sockets=[listener])
            finally:
                small.cancel()
                await turnwire.close()
                if end_export is not None:
                    await _end_export(end_export)
            end.within(_GRACE_SECONDS)


async def _settle(turnwire: Turnwire, server: DrainingServer) -> None:
    """What can wait until connections are accepted; then the heap is looked after."""
    await server.is_accepting.wait()
    await turnwire.load()
    spare_the_collector()  # Of what has been imported now, too.
    await keep_small()


async def _end_export(end: Callable[[], None]) -> None:
    """Send what is left of spans and metrics, if somebody takes it soon."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_SECONDS):
            await asyncio.to_thread(end)


class End:
    """The end of the process, once the service has closed, whatever tools may have left behind.

    What runs and what waits is stored by then, so there is nothing to lose. But Python waits for
    what is left, and for ever: `asyncio.run` for every task, also for one that swallows its
    cancellation, and for the threads of `asyncio.to_thread`; the interpreter for every thread that
    is no daemon. None of these waits can be given a limit. And a daemon that wakes up while the
    interpreter is taken down is unwound through the native code it is in, of pydantic say, which
    aborts the process: its end would look like a crash.
    """

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None
        # Such functions run in reverse: this one after those that tools and libraries register.
        atexit.register(self._skip_the_rest)

    def within(self, seconds: float) -> None:
        """The service has closed: end the process after this time, if it is still there."""
        self._timer = threading.Timer(seconds, os._exit, [0])
        self._timer.daemon = True
        self._timer.start()

    def _skip_the_rest(self) -> None:
        ours = (threading.main_thread(), self._timer)
        if self._timer is None or all(thread in ours for thread in threading.enumerate()):
            return
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(0)


@contextlib.asynccontextmanager
async def _client(provider: Provider) -> AsyncIterator[tuple[LateClient | None, bool]]:
    """None for what the SDK has to be asked; without any configuration a client of the simulator,
    and that it is one."""
    late = late_client() if provider == "anthropic" else None
    if late is not None or provider != "anthropic" or _has_credentials():
        yield late, False
        return
    # Only a demo needs it, and its HTTP server.
    from turnwire_simulator import Simulator

    async with Simulator(tokens_per_second=_DEMO_TOKENS_PER_SECOND) as simulator:
        yield _demo_client(simulator.url), True


def _has_credentials() -> bool:
    if is_bare():
        return False
    from turnwire_server.model.clients import has_credentials

    return has_credentials()


def _demo_client(url: str) -> LateClient:
    def make() -> "Client":
        from turnwire_server.model.clients import connect

        # Whatever proxies there are, none of them leads back to this process.
        return connect(url, "demo", trust_env=False)

    return LateClient(base_url=url, make=make)
