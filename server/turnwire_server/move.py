"""`turnwire move`: carries everything from one database into another, SQLite or PostgreSQL."""

import asyncio
from pathlib import Path

import click

from turnwire_server.app import store_of
from turnwire_server.errors import SettingsError, StoreError
from turnwire_server.settings import default_db, is_postgres, load_settings
from turnwire_server.store.archive import Archivable, Moved, move_all

__all__ = ["move"]


def _run(source: str | None, target: str) -> None:
    try:
        source = load_settings(db=source).db or default_db()
        # Opening would make an empty one.
        if not is_postgres(source) and not Path(source).is_file():
            raise SettingsError(f"from: {source} is not there. Choose a database with --from")
        moved = asyncio.run(_move(_archivable("from", source), _archivable("to", target)))
    except (SettingsError, StoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{moved.conversations} conversations and {moved.blobs} blobs have come,"
        f" {moved.conversations_before} and {moved.blobs_before} were there before"
    )


def _archivable(flag: str, db: str) -> Archivable:
    store = store_of(db)
    if not isinstance(store, Archivable):
        raise SettingsError(f"{flag}: what is kept in memory ends with its process")
    return store


async def _move(source: Archivable, target: Archivable) -> Moved:
    await source.open()
    try:
        await target.open()
        try:
            return await move_all(source, target)
        finally:
            await target.close()
    finally:
        await source.close()


move = click.Command(
    "move",
    callback=_run,
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
