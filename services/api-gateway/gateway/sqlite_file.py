"""What the gateway's SQLite files have in common. Does I/O: the file it is given."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

# Another process's transaction takes milliseconds, a checkpoint a fraction of a second.
_BUSY_S = 5.0
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")


def open_file(path: Path, *pragmas: str) -> sqlite3.Connection:
    """Open a file that is there, without transactions of Python's own.

    Args:
        pragmas: what this connection is set to, such as ``foreign_keys = ON``.

    Raises:
        sqlite3.Error: it cannot be opened; one that was removed meanwhile is no new and empty one.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def do_in_transaction(connection: sqlite3.Connection, job: Callable[[sqlite3.Connection], T]) -> T:
    """Do a job of which all is kept, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = job(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back already
            connection.execute("ROLLBACK")
        raise
    return result


def explain(error: sqlite3.Error) -> tuple[str, bool]:
    """What is wrong with a file, in a few words, and whether it is damaged, so that it must be replaced."""
    # The extended code of an error begins with its kind.
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_broken = kind in _BROKEN
    seen = {
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_READONLY: "it is read-only",
        sqlite3.SQLITE_BUSY: "another process holds it",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
        sqlite3.SQLITE_IOERR: "the disk does not answer as it should",
    }.get(kind, "it is damaged" if is_broken else type(error).__name__)
    return seen, is_broken
