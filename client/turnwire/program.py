"""The `turnwire` program as click has it: its commands are entry points, loaded when asked for.

Nothing here knows a command by name: the server brings `serve`, the simulator `simulate`. What
their help says costs next to nothing, so `--help` loads them all; what they are made of, they
import when they run.
"""

from importlib.metadata import entry_points
from typing import Any

import click

__all__ = ["program"]

GROUP = "turnwire.commands"


def program() -> click.Group:
    """The group of all installed commands."""
    group = _LazyGroup(
        name="turnwire", help="Realtime chat with Claude: serve it, try it, talk to it."
    )
    return click.version_option(package_name="turnwire", prog_name="turnwire")(group)


class _LazyGroup(click.Group):
    """Imports a command only for itself or for `--help`, so that each starts without the rest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(entry_points(group=GROUP).names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in entry_points(group=GROUP, name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            # Of the package's own extras: what a user's tools lack is told as their mistake.
            from turnwire_protocol.extras import how_to_install

            (entry,) = entry_points(group=GROUP, name=ctx.invoked_subcommand or "")
            extra = "cli" if entry.module.split(".")[0] == "turnwire" else "server"
            needs = f"turnwire {entry.name} needs {error.name}: {how_to_install(extra)}"
            click.echo(needs, err=True)
            raise SystemExit(2) from error
