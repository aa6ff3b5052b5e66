"""The tables of the SQLite store, and how older files come to have them."""

import sqlite3

from turnwire_server.errors import SettingsError

__all__ = ["VERSION", "upgrade", "version_of"]

# Step n leads from version n to n + 1. A new file takes all of them, so every step is always run.
_STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            epoch TEXT NOT NULL,
            seq INTEGER NOT NULL,
            title TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        ) WITHOUT ROWID""",
        # Read backwards: newest first, and within one instant by id, as positions compare.
        "CREATE INDEX conversations_by_owner ON conversations (owner, updated_at, id)",
        """CREATE TABLE batches (
            conversation TEXT NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (conversation, first_seq)
        ) WITHOUT ROWID""",
    ),
    (
        # What version 1 did not record may have been left unfinished: recovery looks and decides.
        "ALTER TABLE conversations ADD COLUMN is_open INTEGER NOT NULL DEFAULT 1",
    ),
    (
        """CREATE TABLE blobs (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            media_type TEXT NOT NULL,
            data BLOB NOT NULL
        )""",
    ),
    (
        # In the order of commits. From here on `conversations.seq` is how far `batches` reaches:
        # a row is dead if its log is gone or has come past it there.
        """CREATE TABLE tail (
            id INTEGER PRIMARY KEY,
            conversation TEXT NOT NULL,
            epoch TEXT NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            body BLOB NOT NULL
        )""",
    ),
    (
        # Bytes lie in files beside the database from here on. Those that are here are moved later,
        # one after another; what is known of them is copied now, which reads no bytes.
        "ALTER TABLE blobs RENAME TO unmoved_blobs",
        """CREATE TABLE blobs (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            media_type TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            put_at INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """INSERT INTO blobs
            SELECT id, owner, media_type, length(data), CAST(strftime('%s', 'now') AS INTEGER)
            FROM unmoved_blobs""",
        "CREATE INDEX blobs_by_owner ON blobs (owner, bytes)",
        """CREATE TABLE blob_uses (
            conversation TEXT NOT NULL,
            blob TEXT NOT NULL,
            PRIMARY KEY (conversation, blob)
        ) WITHOUT ROWID""",
        "CREATE INDEX blob_uses_by_blob ON blob_uses (blob)",
        # Logs whose uses are not recorded yet. Until they are, no blob counts as unused.
        "CREATE TABLE unread_logs (conversation TEXT PRIMARY KEY) WITHOUT ROWID",
        "INSERT INTO unread_logs SELECT id FROM conversations WHERE EXISTS (SELECT 1 FROM blobs)",
    ),
    (
        # What was used before this version is not known. Rows stay: an operator may read them.
        """CREATE TABLE spent (
            owner TEXT NOT NULL,
            day TEXT NOT NULL,
            tokens INTEGER NOT NULL,
            cost_usd REAL NOT NULL,
            PRIMARY KEY (owner, day)
        ) WITHOUT ROWID""",
        # Counting a hundred thousand takes 13 ms, and it is asked before each one that begins.
        """CREATE TABLE owners (
            owner TEXT PRIMARY KEY,
            conversations INTEGER NOT NULL
        ) WITHOUT ROWID""",
        "INSERT INTO owners SELECT owner, count(*) FROM conversations GROUP BY owner",
        """CREATE TRIGGER conversation_begins AFTER INSERT ON conversations BEGIN
            INSERT INTO owners VALUES (new.owner, 1)
                ON CONFLICT DO UPDATE SET conversations = conversations + 1;
        END""",
        """CREATE TRIGGER conversation_goes AFTER DELETE ON conversations BEGIN
            UPDATE owners SET conversations = conversations - 1 WHERE owner = old.owner;
        END""",
    ),
    (
        # Hidden conversations (`store.port.HIDDEN`) do not count; before this there were none.
        "DROP TRIGGER conversation_begins",
        "DROP TRIGGER conversation_goes",
        """CREATE TRIGGER conversation_begins AFTER INSERT ON conversations
        WHEN substr(new.id, 1, 2) <> 'h_' BEGIN
            INSERT INTO owners VALUES (new.owner, 1)
                ON CONFLICT DO UPDATE SET conversations = conversations + 1;
        END""",
        """CREATE TRIGGER conversation_goes AFTER DELETE ON conversations
        WHEN substr(old.id, 1, 2) <> 'h_' BEGIN
            UPDATE owners SET conversations = conversations - 1 WHERE owner = old.owner;
        END""",
    ),
)

VERSION = len(_STEPS)
"""The version this program writes; it stands in `PRAGMA user_version`."""


def version_of(connection: sqlite3.Connection) -> int:
    """The file's version, 0 for an empty one. Changes nothing.

    Raises:
        SettingsError: the file is too new, or some other program's.
        sqlite3.Error: the file cannot be read, or is no database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise SettingsError(
            f"it has version {version}, and this program knows versions up to {VERSION}."
            " Update Turnwire, or choose another file with --db"
        )
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise SettingsError("it belongs to another program. Choose another file with --db")
    return int(version)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the file to `VERSION`.

    Raises:
        SettingsError: see `version_of`.
    """
    version = version_of(connection)
    for step in _STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    if version < VERSION:  # A current file opens on a full disk, too.
        connection.execute(f"PRAGMA user_version = {VERSION}")
