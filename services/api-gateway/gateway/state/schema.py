"""The tables of the gateway's database, and how an older file becomes a newer one. I/O through a connection.

A file says by ``PRAGMA user_version`` how many of the migrations it has seen, a PostgreSQL server by its table
``form``. Migrations are only ever added: what has seen more than this gateway knows is a newer gateway's, and is
refused. They are written with SQLite's words, for which ``postgres`` has PostgreSQL's.
"""

from __future__ import annotations

import sqlite3

# A time is in seconds since 1970, a table's name a plural. Texts of prompts and answers have no column.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL,
        revoked_at REAL,
        -- Everything else that a key may and may not, as a JSON object of the key's fields.
        terms TEXT NOT NULL
    );
    -- A revoked key's name may be given again.
    CREATE UNIQUE INDEX keys_by_name ON keys (name) WHERE revoked_at IS NULL;
    -- What a client sends begins with an id, which finds the row; of the rest only the SHA-256 is kept.
    CREATE TABLE secrets (
        id TEXT PRIMARY KEY,
        key INTEGER NOT NULL REFERENCES keys (id),
        hash BLOB NOT NULL,
        created_at REAL NOT NULL,
        ends_at REAL
    );
    CREATE TABLE usage (
        id INTEGER PRIMARY KEY,
        ended_at REAL NOT NULL,
        request TEXT NOT NULL,
        key TEXT NOT NULL,
        model TEXT NOT NULL,
        format TEXT NOT NULL,
        provider TEXT NOT NULL,
        -- The targets that were tried before the one that answered, with their outcomes, as a JSON list.
        tried TEXT NOT NULL,
        status INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        cached_tokens INTEGER,
        is_estimate INTEGER NOT NULL,
        queue_s REAL,
        first_s REAL,
        duration_s REAL NOT NULL,
        prompt_hash BLOB
    );
    CREATE INDEX usage_by_time ON usage (ended_at);
    -- Single facts of the file: the revision that each change of the keys counts up, the salt of prompt hashes.
    CREATE TABLE facts (name TEXT PRIMARY KEY, value);
    INSERT INTO facts VALUES ('keys_revision', 0);
    INSERT INTO facts VALUES ('prompt_salt', randomblob(32));
    """,
    """
    ALTER TABLE usage ADD COLUMN target TEXT NOT NULL DEFAULT '';
    -- The sums of each day of UTC, counted from 1970: what reports add up, where the records would take seconds. Those
    -- of keys stand apart, so that the others stay few however many keys there are.
    CREATE TABLE usage_of_keys (
        key TEXT NOT NULL,
        day INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        duration_s REAL NOT NULL,
        PRIMARY KEY (key, day)
    ) WITHOUT ROWID;
    CREATE TABLE usage_of_models (
        day INTEGER NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        requests INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        duration_s REAL NOT NULL,
        PRIMARY KEY (day, model, provider)
    ) WITHOUT ROWID;
    """,
    """
    -- Routes, or '*', whose prompts and answers are written to a file, until when, and who wanted it.
    CREATE TABLE content_logging (
        model TEXT NOT NULL,
        started_at REAL NOT NULL,
        ends_at REAL NOT NULL,
        source TEXT NOT NULL,
        PRIMARY KEY (model, source)
    );
    """,
)


class NewerError(Exception):
    """The database is a newer gateway's."""


def check_form(seen: int) -> int:
    """How many migrations a database has seen, if this gateway knows them all.

    Raises:
        NewerError: it does not.
    """
    if seen > len(MIGRATIONS):
        raise NewerError(f"its form is {seen}, and this gateway knows forms up to {len(MIGRATIONS)}")
    return seen


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest form, each step in a transaction of its own.

    Raises:
        NewerError: it has seen migrations that this gateway does not know.
        sqlite3.Error: the file cannot be written, or is no database.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    seen = check_form(found)
    for number, script in enumerate(MIGRATIONS[seen:], seen + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
