"""The server's commands as click has them. What a command leads to is imported when it is run, and
what only its own help wants when that is asked for: `turnwire --help` lists them all.
"""

import gc
from typing import Any

import click

__all__ = ["move", "serve", "vacuum"]


class _Serve(click.Command):
    """Its parameters are the settings."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self.params:
            from turnwire_server.flags import flags

            self.params = flags()
        return super().get_params(ctx)


def _serve(**flags: Any) -> None:
    # What is imported stays: to look through it for garbage is a fifth of a start.
    gc.disable()
    from turnwire_server.serve import run

    gc.enable()
    run(**flags)


def _move(source: str | None, target: str) -> None:
    from turnwire_server.move import run

    run(source, target)


def _vacuum(db: str | None) -> None:
    from turnwire_server.vacuum import run

    run(db)


serve = _Serve(
    "serve",
    callback=_serve,
    help="""Run the chat service: page, WebSocket, SSE and REST on one port.

Without an API key (ANTHROPIC_API_KEY, or whatever the Anthropic SDK reads) it runs the demo, in
which a simulator answers. ANTHROPIC_BASE_URL is honoured. Every flag is also a variable
TURNWIRE_…, which may stand in .env; lists and objects are JSON there.""",
    short_help="Run the chat service.",
)

move = click.Command(
    "move",
    callback=_move,
    params=[
        click.Option(
            ["--from", "source"],
            help="Database to read: a file, or the address of a PostgreSQL.  [default: serve's]",
        ),
        click.Option(["--to", "target"], required=True, help="Database to fill."),
    ],
    help="""Copy all conversations, images and documents into another database.

SQLite into PostgreSQL, or back. Every client resumes where it stood. The service must be stopped
meanwhile. What was cut off can be repeated: what is there already is passed over. The database that
is read stays as it is.""",
    short_help="Carry everything into another database.",
)

vacuum = click.Command(
    "vacuum",
    callback=_vacuum,
    params=[click.Option(["--db"], help="File of the database.", default=None)],
    help="""Make the file of a database as small as what it holds.

Deleted conversations leave room in the file, which new ones fill; this gives it back to the disk.
The service must be stopped meanwhile, and the disk needs room for the file a second time.""",
    short_help="Make the file of a database smaller.",
)
