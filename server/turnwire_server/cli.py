"""`turnwire serve`: settings in, a running service out."""

import asyncio
import atexit
import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any, Literal, get_origin

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, from_json

from turnwire_server.app import Turnwire, create_app, store_of
from turnwire_server.connections import raise_descriptors
from turnwire_server.core.turn.options import Policy
from turnwire_server.errors import SettingsError, StoreError
from turnwire_server.heap import keep_small, spare_the_collector
from turnwire_server.listener import bind, server_for
from turnwire_server.model.claude import Client, connect, has_credentials
from turnwire_server.settings import Settings, default_db, load_settings
from turnwire_server.tools.demo import tools as demo_tools
from turnwire_server.transports.access import is_loopback
from turnwire_simulator import Simulator

__all__ = ["serve"]

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
)
"""Loggers whose everyday lines say nothing to operators, or addresses with keys in them."""


def _option(name: str, field: FieldInfo) -> click.Option:
    """The flag of a setting: its help is the setting's own description."""
    origin = get_origin(field.annotation) or field.annotation
    many = origin in (list, frozenset)
    kind: Any = origin if origin in (int, float) else str
    help = (field.description or "").replace("\n", " ").replace("`", "")
    if origin not in (int, float, str, list, frozenset, Literal) and "None" not in str(
        field.annotation
    ):
        help += " (JSON)"
    default = field.get_default(call_default_factory=True)
    shown = None if default in (None, [], {}, PydanticUndefined) or many else default
    if shown is not None and not isinstance(shown, str | int | float):
        shown = None
    return click.Option(
        [f"--{name.replace('_', '-')}"],
        type=kind,
        multiple=many,
        default=None,
        help=help,
        show_default=False if shown is None else str(shown),
        metavar="TEXT..." if many else None,
    )


def _ordered_fields() -> list[tuple[str, FieldInfo]]:
    """Where and how to run first, then what turns live by."""
    fields = list(Settings.model_fields.items())
    return sorted(fields, key=lambda item: item[0] in Policy.model_fields)


def _run(**flags: Any) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for quiet in _QUIET:
        logging.getLogger(quiet).setLevel(logging.WARNING)
    given = {name: _value(name, value) for name, value in flags.items() if value not in (None, ())}
    try:
        settings = load_settings(**given)
        if settings.token is None and not is_loopback(settings.host):
            raise SettingsError(
                f"host: without a token only this machine is served, so {settings.host} is refused."
                " Set --token or TURNWIRE_TOKEN, or listen on 127.0.0.1"
            )
        if settings.db is None:
            given["db"] = default_db()
        asyncio.run(_serve(given, settings, _End()))
    except (SettingsError, StoreError) as error:
        raise click.ClickException(str(error)) from error


def _bind(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}. Choose another with --port"
        ) from error


def _place_of(listener: socket.socket) -> str:
    """What no two processes are at the same time: where this one listens."""
    host, port = listener.getsockname()[:2]
    return f"{socket.gethostname()} {host}:{port}"


def _value(name: str, value: Any) -> Any:
    field = Settings.model_fields[name]
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str) and value.startswith("{") and name != "system":
        try:
            return from_json(value)
        except ValueError as error:
            raise click.BadParameter(f"not JSON: {field.title or name}") from error
    return value


class _End:
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


async def _serve(given: dict[str, Any], settings: Settings, end: _End) -> None:
    async with _client() as client:
        tools = settings.tools or (demo_tools if client is not None else [])
        is_demo = client is not None
        raise_descriptors()
        listener = _bind(settings.host, settings.port)
        try:
            store = store_of(
                given.get("db", settings.db), node=_place_of(listener), lease_seconds=settings.lease
            )
            turnwire = Turnwire(
                client=client, store=store, is_demo=is_demo, **{**given, "tools": tools}
            )
        except BaseException:
            listener.close()
            raise
        server = server_for(
            create_app(turnwire),
            limits=settings.limits,
            proxies=settings.proxies,
            grace_seconds=_GRACE_SECONDS,
            drain=lambda: _drain(turnwire),
        )
        try:
            await turnwire.start()  # Before it is said that it runs.
        except BaseException:
            listener.close()
            raise
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        click.echo(f"Turnwire is on {address}  (Ctrl-C stops it)")
        if is_demo:
            click.echo("No API key: this is the demo, a simulator answers. Set ANTHROPIC_API_KEY.")
        if settings.token is not None:
            click.echo(f"Open {address}/#/token=…  with the token you set.")
        spare_the_collector()
        small = asyncio.create_task(keep_small(), name="heap")
        try:
            await server.serve(sockets=[listener])
        finally:
            small.cancel()
            await turnwire.close()
        end.within(_GRACE_SECONDS)


async def _drain(turnwire: Turnwire) -> None:
    if (what := turnwire.waits_for()) is not None:
        click.echo(f"Stopping: waiting for {what}. Ctrl-C again ends it now.", err=True)
    await turnwire.drain()


@contextlib.asynccontextmanager
async def _client() -> AsyncIterator[Client | None]:
    """None for the SDK's own configuration; without any, a client of the simulator."""
    if has_credentials():
        yield None
        return
    async with Simulator(tokens_per_second=_DEMO_TOKENS_PER_SECOND) as simulator:
        # Whatever proxies there are, none of them leads back to this process.
        yield connect(simulator.url, "demo", trust_env=False)


serve = click.Command(
    "serve",
    callback=_run,
    params=[_option(name, field) for name, field in _ordered_fields()],
    help="""Run the chat service: page, WebSocket, SSE and REST on one port.

Without an API key (ANTHROPIC_API_KEY, or whatever the Anthropic SDK reads) it runs the demo, in
which a simulator answers. ANTHROPIC_BASE_URL is honoured. Every flag is also a variable
TURNWIRE_…, which may stand in .env; lists and objects are JSON there.""",
    short_help="Run the chat service.",
)
