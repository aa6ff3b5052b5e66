"""`turnwire serve`: settings in, a running service out."""

import asyncio
import os
from typing import Any, Literal, get_origin

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, from_json

from turnwire_server.app import Turnwire
from turnwire_server.core.turn.options import Policy
from turnwire_server.errors import SettingsError, StoreError
from turnwire_server.serving import (
    End,
    Serving,
    announce,
    listen_on,
    log_to_stderr,
    node_at,
    say_waiting,
    serve_on,
    settings_of,
)
from turnwire_server.settings import Settings
from turnwire_server.workers import run_workers

__all__ = ["serve"]


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
    environment = dict(os.environ)  # Without what `.env` adds to it.
    log_to_stderr()
    given = {name: _value(name, value) for name, value in flags.items() if value not in (None, ())}
    try:
        settings = settings_of(given)
        if settings.workers == 1:
            asyncio.run(_serve(given, settings, End()))
        else:
            asyncio.run(run_workers(given, settings, environment))
    except (SettingsError, StoreError) as error:
        raise click.ClickException(str(error)) from error


async def _serve(given: dict[str, Any], settings: Settings, end: End) -> None:
    """All in this process."""

    def started(service: Serving) -> None:
        announce(service.listener, settings, is_demo=service.is_demo)

    def draining(turnwire: Turnwire) -> None:
        say_waiting(turnwire.waits_for())

    listener = listen_on(settings)
    node = node_at(listener)
    await serve_on(
        listener, given, settings, node=node, end=end, started=started, draining=draining
    )


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
