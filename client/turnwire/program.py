"""The `turnwire` program as click has it: its commands are entry points, loaded when asked for.

Nothing here knows a command by name: the server brings `serve`, the simulator `simulate`.
"""

import gc
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

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
            return self._load(entry)
        return None

    def _load(self, entry: EntryPoint) -> click.Command:
        # What is imported stays: to look through it for garbage is a fifth of a start.
        gc.disable()
        try:
            command: click.Command = entry.load()
        except ModuleNotFoundError as error:
            return self._missing(entry.name, error.name or entry.module)
        finally:
            gc.enable()
        return command

    def _missing(self, name: str, module: str) -> click.Command:
        def explain() -> NoReturn:
            click.echo(f"turnwire {name} needs {module}: {self.remedy}", err=True)
            raise SystemExit(2)

        return click.Command(
            name,
            callback=explain,
            help=f"(not installed: {self.remedy})",
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
            add_help_option=False,
        )
