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


def program(remedy: str) -> click.Group:
    """The group of all installed commands; `remedy` is what to run where a module is missing."""
    group = _LazyGroup(
        name="turnwire", help="Realtime chat with Claude: serve it, try it, talk to it."
    )
    group.remedy = remedy
    return click.version_option(package_name="turnwire", prog_name="turnwire")(group)


class _LazyGroup(click.Group):
    """Imports a command only for itself or for `--help`, so that each starts without the rest."""

    remedy = ""

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
            needs = f"turnwire {ctx.invoked_subcommand} needs {error.name}: {self.remedy}"
            click.echo(needs, err=True)
            raise SystemExit(2) from error
