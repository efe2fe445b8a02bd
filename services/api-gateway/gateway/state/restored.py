"""Notices that the database is an older copy than the one that was used last. Does I/O: a file beside it.

A copy that is put back does not know which keys were revoked since it was made. The file beside it holds the revision
that the keys had last; a database with a lower one is such a copy, and the secrets in it may have been revoked.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gateway.state.connection import Connection
from gateway.state.database import Database, Place
from gateway.state.keys import read_revision

MARK_NAME = "gateway.revision"


def write_mark(database: Place, revision: int) -> None:
    """Keep the revision; where that fails, an older copy is noticed later or not at all, and nothing else is lost.

    A lower one than the last is a copy's that was put into a server meanwhile, which the next start is to notice.
    """
    if revision < _read_mark(database):
        return
    path = _find_mark(database)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        new.write_text(f"{revision}\n", encoding="ascii")
        new.chmod(0o600)
        new.replace(path)


def note_restored(database: Place, now: float) -> int:
    """Note in a database that it is an older copy, if it is one; the number of changes of keys that it has missed.

    Raises:
        StateError: the database cannot be used.
    """
    mark = _read_mark(database)

    def note(connection: Connection) -> int:
        missed = mark - read_revision(connection)
        if missed > 0:
            facts = (("keys_revision", mark + 1), ("keys_restored_at", now))
            query = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            connection.executemany(query, facts)
        return max(0, missed)

    opened = Database(database)
    try:
        is_newest = opened.read_here(read_revision) >= mark
        return 0 if is_newest else opened.write_here(note)
    finally:
        opened.close_here()


def find_restored_at(connection: Connection) -> float | None:
    """When the database was last found to be an older copy, in seconds since 1970; None for never."""
    row = connection.execute("SELECT value FROM facts WHERE name = 'keys_restored_at'").fetchone()
    return float(row[0]) if row else None


def _find_mark(database: Place) -> Path:
    """Each server has one of its own, so that a gateway which is given another is not told of a copy."""
    if isinstance(database, Path):
        return database.with_name(MARK_NAME)
    return database.folder / f"{MARK_NAME}-{database.id}"


def _read_mark(database: Place) -> int:
    try:
        return int(_find_mark(database).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
