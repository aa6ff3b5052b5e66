"""The store of one process: an SQLite file."""

from turnwire_server.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
