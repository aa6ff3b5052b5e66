"""The store for several processes: a PostgreSQL."""

from turnwire_server.store.postgres.store import LEASE_SECONDS, PostgresStore

__all__ = ["LEASE_SECONDS", "PostgresStore"]
