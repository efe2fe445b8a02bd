"""The tables of sessions, and how older ones become newer. Pure.

Migrations are only ever added: what has seen more than this service knows is a newer one's, and is refused. They are
written with SQLite's words, for which ``postgres`` has PostgreSQL's.
"""

from __future__ import annotations

# A time is in seconds since 1970. An owner is the SHA-256 of a key or of a token; neither is kept itself.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        owner BLOB NOT NULL,
        name TEXT NOT NULL,
        created_at REAL NOT NULL,
        used_at REAL NOT NULL,
        -- Of the turns up to this number, which no longer fit the model's context, as a JSON text.
        summary TEXT NOT NULL DEFAULT '""',
        summarised INTEGER NOT NULL DEFAULT 0,
        UNIQUE (owner, name)
    );
    CREATE INDEX sessions_by_use ON sessions (used_at);
    CREATE TABLE turns (
        session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        -- What was asked and answered, as a JSON object.
        document TEXT NOT NULL,
        -- The client's Idempotency-Key, and the SHA-256 of what it asked with it.
        idempotency TEXT,
        asked BLOB,
        PRIMARY KEY (session, number)
    );
    CREATE UNIQUE INDEX turns_by_idempotency ON turns (session, idempotency);
    """,
    # Whether nobody's key began it; of sessions from before that is not known.
    """
    ALTER TABLE sessions ADD COLUMN is_free INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX free_sessions ON sessions (is_free) WHERE is_free = 1;
    """,
)


class StoreError(Exception):
    """Sessions cannot be read or written; the message is one line for the operator, with no secret in it."""


class UncertainError(StoreError):
    """What was to be changed may have been changed, or not: nobody said in time."""


class TakenError(Exception):
    """Another service wrote this turn meanwhile."""


class FullError(Exception):
    """As many sessions as may be are kept for callers without a key."""


def check_form(seen: int) -> int:
    """How many migrations a database has seen, if this service knows them all.

    Raises:
        StoreError: it does not.
    """
    if seen > len(MIGRATIONS):
        raise StoreError(
            f"the sessions have form {seen}, a newer service's; this one knows forms up to {len(MIGRATIONS)}"
        )
    return seen
