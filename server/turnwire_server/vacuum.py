"""`turnwire vacuum`: gives the room of what was deleted back to the disk."""

import asyncio
from pathlib import Path

import click

from turnwire_server.errors import SettingsError, StoreError
from turnwire_server.settings import default_db, is_postgres, load_settings
from turnwire_server.store.sqlite import SqliteStore

__all__ = ["run"]


def run(db: str | None) -> None:
    """Do it; the options are in `cli.py`."""
    try:
        db = load_settings(db=db).db or default_db()
        if is_postgres(db):  # Its address holds a password: nothing is said of it.
            raise SettingsError("db: a PostgreSQL does this by itself. Choose a file with --db")
        path = Path(db)
        # Opening would make an empty one.
        if not path.is_file():
            raise SettingsError(f"db: {path} is not there. Choose a file with --db")
        before = path.stat().st_size
        asyncio.run(_vacuum(path))
    except (SettingsError, StoreError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{path}: {before:,} bytes before, {path.stat().st_size:,} now")


async def _vacuum(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    try:
        # What an older version has left in the database would only be copied.
        while await store.blobs.tidy():
            pass
        await store.vacuum()
    finally:
        await store.close()
