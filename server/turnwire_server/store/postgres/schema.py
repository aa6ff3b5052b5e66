"""The tables of the PostgreSQL store, how older ones come to have them, and what is refused.

Nodes of two neighbouring versions run side by side while a service is restarted node by node. So a
step only adds; what nobody needs any more goes one version later.
"""

import asyncio
import secrets

import asyncpg

from turnwire_server.errors import SettingsError
from turnwire_server.store.postgres.address import Connection, quoted

__all__ = ["IS_HIDDEN", "NO_LISTEN", "VERSION", "check_server", "upgrade"]

_OLDEST_MAJOR = 12
_LISTEN_SECONDS = 10.0
"""A machine that has just been started, and where all comes up at once, takes its time."""

# Text compares by its bytes, as in Python: positions in a list do.
_TEXT = 'text COLLATE "C"'

IS_HIDDEN = "id >= 'h_' AND id < 'h`'"
"""A range of the conversations' primary key; see `store.port.HIDDEN`."""

# Step n leads from version n to n + 1.
_STEPS: tuple[tuple[str, ...], ...] = (
    (
        # A node that has no row, or none any more, is dead: what it held is free. Its row is
        # written with every commit, so there is room for that on its page.
        f"""CREATE TABLE nodes (
            id {_TEXT} PRIMARY KEY,
            name {_TEXT},
            version text NOT NULL,
            started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            lease_until timestamptz NOT NULL,
            writer bigint NOT NULL DEFAULT 0
        ) WITH (fillfactor = 50)""",
        # `node` may append; its first batch sets the times. How far a log reaches is said by its
        # last row alone: no commit in the middle of a turn touches this table.
        f"""CREATE TABLE conversations (
            id {_TEXT} PRIMARY KEY,
            owner {_TEXT} NOT NULL,
            epoch {_TEXT} NOT NULL,
            node {_TEXT},
            is_open boolean NOT NULL DEFAULT false,
            title text NOT NULL DEFAULT '',
            created_at {_TEXT},
            updated_at {_TEXT}
        )""",
        f"""CREATE INDEX conversations_by_owner ON conversations (owner, updated_at, id)
            WHERE created_at IS NOT NULL AND NOT ({IS_HIDDEN})""",
        "CREATE INDEX conversations_by_node ON conversations (node) WHERE node IS NOT NULL",
        "CREATE INDEX open_conversations ON conversations (owner) WHERE is_open",
        f"""CREATE TABLE batches (
            conversation {_TEXT} NOT NULL,
            first_seq bigint NOT NULL,
            last_seq bigint NOT NULL,
            body bytea NOT NULL,
            PRIMARY KEY (conversation, first_seq)
        )""",
        # From version 14 on, and where the server was built with it.
        """DO $$ BEGIN EXECUTE 'ALTER TABLE batches ALTER body SET COMPRESSION lz4';
            EXCEPTION WHEN OTHERS THEN NULL; END $$""",
        # By node, because the nodes of one busy owner would wait for each other's commits. Rows
        # stay: an operator may read them.
        f"""CREATE TABLE spent (
            owner {_TEXT} NOT NULL,
            day text NOT NULL,
            node {_TEXT} NOT NULL,
            tokens bigint NOT NULL,
            cost_usd double precision NOT NULL,
            PRIMARY KEY (owner, day, node)
        )""",
        # Bytes lie in parts, by upload: those of a blob are those of the upload that made it.
        f"""CREATE TABLE blobs (
            id {_TEXT} PRIMARY KEY,
            owner {_TEXT} NOT NULL,
            media_type text NOT NULL,
            bytes bigint NOT NULL,
            put_at bigint NOT NULL,
            upload {_TEXT} NOT NULL
        )""",
        "CREATE INDEX blobs_by_owner ON blobs (owner, bytes)",
        f"CREATE TABLE uploads (id {_TEXT} PRIMARY KEY, node {_TEXT} NOT NULL)",
        f"""CREATE TABLE blob_parts (
            upload {_TEXT} NOT NULL,
            start bigint NOT NULL,
            data bytea NOT NULL,
            PRIMARY KEY (upload, start)
        )""",
        # Images and PDF do not get smaller, and what is not compressed can be read in pieces.
        "ALTER TABLE blob_parts ALTER data SET STORAGE EXTERNAL",
        f"""CREATE TABLE blob_uses (
            conversation {_TEXT} NOT NULL,
            blob {_TEXT} NOT NULL,
            PRIMARY KEY (conversation, blob)
        )""",
        "CREATE INDEX blob_uses_by_blob ON blob_uses (blob)",
    ),
    (
        # What nodes tell each other is gone with the server, and said again: it needs no disk.
        f"""CREATE UNLOGGED TABLE readers (
            conversation {_TEXT} NOT NULL,
            node {_TEXT} NOT NULL,
            PRIMARY KEY (conversation, node)
        )""",
        f"""CREATE UNLOGGED TABLE mail (
            id {_TEXT} PRIMARY KEY,
            number bigint GENERATED ALWAYS AS IDENTITY,
            to_node {_TEXT} NOT NULL,
            from_node {_TEXT} NOT NULL,
            answers {_TEXT},
            body text NOT NULL
        )""",
        "CREATE INDEX mail_by_node ON mail (to_node)",
    ),
    (
        # What `this_server` said when the log's epoch was last found good.
        f"ALTER TABLE conversations ADD server {_TEXT}",
        # A failover leads to another timeline, a restored dump to another system. Null where a
        # service hides it: then nobody can tell.
        """CREATE FUNCTION this_server() RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN
            RETURN (SELECT system_identifier FROM pg_control_system())
                || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
            EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$""",
        "ALTER TABLE nodes ADD alike text",
        """ALTER TABLE meta ADD salt text NOT NULL
            DEFAULT md5(random()::text || clock_timestamp()::text)""",
    ),
)

VERSION = len(_STEPS)
"""The version this program writes; it stands in `meta`."""


async def check_server(
    connection: Connection, other: Connection, *, listen_seconds: float = _LISTEN_SECONDS
) -> None:
    """Refuse a server that could not keep what the store promises; `other` is a connection, too.

    Raises:
        SettingsError: the message names the remedy.
    """
    major = connection.get_server_version().major
    if major < _OLDEST_MAJOR:
        raise SettingsError(f"db: PostgreSQL {_OLDEST_MAJOR} or newer is needed, this is {major}")
    if await connection.fetchval("SELECT current_setting('synchronous_commit')") == "off":
        raise SettingsError(
            "db: synchronous_commit is off for this role: acknowledged messages could be lost;"
            " set it on (ALTER ROLE … SET synchronous_commit = on)"
        )
    await _check_listen(connection, other, listen_seconds)


async def _check_listen(connection: Connection, other: Connection, seconds: float) -> None:
    """Notify oneself. Behind a pooler that shares connections nothing comes, unless it is the same
    connection on which one listens and notifies."""
    channel, heard = f"tw_{secrets.token_hex(8)}", asyncio.Event()

    def hear(*_: object) -> None:
        heard.set()

    try:
        await connection.add_listener(channel, hear)
        await other.execute(f"NOTIFY {channel}")
        async with asyncio.timeout(seconds):
            await heard.wait()
        await connection.remove_listener(channel, hear)
    except TimeoutError as error:
        raise SettingsError(NO_LISTEN) from error


NO_LISTEN = (
    "db: LISTEN does not work through this connection (a pooler in transaction mode?): give the"
    " direct address"
)


async def upgrade(connection: Connection, schema: str) -> None:
    """Bring the tables of the schema to `VERSION`, once whoever else does it is ready.

    Raises:
        SettingsError: they are too new, or some other program's; or a pooler has dropped what the
            connection asked for, and statements would go to another schema.
    """
    path = await connection.fetchval("SELECT current_setting('search_path')")
    if path != quoted(schema):
        raise SettingsError(NO_LISTEN)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"turnwire {schema}")
        version = await _version_of(connection, schema)
        if version == VERSION:
            return  # Where nothing may be made, what is current can be used.
        for step in _STEPS[version:]:
            for statement in step:
                await connection.execute(statement)
        await connection.execute("UPDATE meta SET version = $1", VERSION)


async def _version_of(connection: Connection, schema: str) -> int:
    """The version of the tables, 0 where there were none; the schema and `meta` are there then."""
    tables = await connection.fetch(
        """SELECT relname FROM pg_namespace LEFT JOIN pg_class ON relnamespace = pg_namespace.oid
            AND relkind = 'r' WHERE nspname = $1""",
        schema,
    )
    names = {table["relname"] for table in tables}
    if "meta" in names:
        try:
            version = int(await connection.fetchval("SELECT version FROM meta"))
        except (TypeError, asyncpg.UndefinedColumnError) as error:
            raise SettingsError(_FOREIGN.format(schema)) from error
        if version > VERSION:
            raise SettingsError(
                f"db: it has version {version}, this program knows up to {VERSION}. Update Turnwire"
            )
        return version
    if names - {None}:
        raise SettingsError(_FOREIGN.format(schema))
    if not names:
        await connection.execute(f"CREATE SCHEMA {quoted(schema)}")
    await connection.execute("CREATE TABLE meta (version integer NOT NULL)")
    await connection.execute("INSERT INTO meta VALUES (0)")
    return 0


_FOREIGN = (
    "db: the schema {} belongs to another program. Name another one in the address: ?search_path=…"
)
