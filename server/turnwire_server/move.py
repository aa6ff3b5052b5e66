"""`turnwire move`: carries everything from one database into another, SQLite or PostgreSQL."""

import asyncio
from pathlib import Path

import click

from turnwire_server.errors import SettingsError, StoreError
from turnwire_server.parts import store_of
from turnwire_server.settings import default_db, is_postgres, load_settings
from turnwire_server.store.archive import Archivable, Moved, move_all

__all__ = ["run"]


def run(source: str | None, target: str) -> None:
    """Do it; the options are in `cli.py`."""
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
