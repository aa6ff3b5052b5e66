"""`turnwire serve`: settings in, a running service out; its flags are `flags.py`'s."""

import asyncio
import os
from typing import Any

import click
from pydantic_core import from_json

from turnwire_server.app import Turnwire
from turnwire_server.errors import SettingsError, StoreError
from turnwire_server.serving import (
    End,
    Serving,
    announce,
    listen_on,
    log_as,
    log_to_stderr,
    node_at,
    say_waiting,
    serve_on,
    settings_of,
)
from turnwire_server.settings import Settings
from turnwire_server.workers import run_workers

__all__ = ["run"]


def run(**flags: Any) -> None:
    """Serve until told to stop; `flags` are settings by name, None or empty if not given."""
    environment = dict(os.environ)  # Without what `.env` adds to it.
    log_to_stderr()
    given = {name: _value(name, value) for name, value in flags.items() if value not in (None, ())}
    try:
        settings = settings_of(given)
        log_as(settings.log_format)
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
