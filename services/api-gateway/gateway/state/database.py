"""The gateway's database: one SQLite file, which each process opens for itself. Does I/O: that file.

In: the folder of the state. Out: what jobs read from and write to a connection. Jobs run in one thread of their own,
so that neither the disk nor another process's transaction ever holds up the event loop. Everything that goes wrong is
a ``StateError``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gateway.state.schema import NewerError, migrate

FILE_NAME = "gateway.db"
# Another worker's transaction takes milliseconds, a checkpoint a fraction of a second.
_BUSY_S = 5.0
_NOT_A_DATABASE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]


class StateError(Exception):
    """The state cannot be used; the message is one line for the operator.

    Attributes:
        is_broken: whether the file is damaged, so that it stays unusable until it is replaced.
    """

    def __init__(self, message: str, is_broken: bool = False) -> None:
        super().__init__(message)
        self.is_broken = is_broken


class Database:
    """One process's connection to the file.

    Args:
        path: of a file that ``prepare`` made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file now, so that it stays ours where its folder is moved; one that cannot be is told of later."""
        with contextlib.suppress(StateError):
            await self.read(lambda connection: connection.execute("SELECT count(*) FROM facts").fetchone())

    async def read(self, job: Job[T]) -> T:
        """Do a job that changes nothing.

        Raises:
            StateError: the file cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.read_here, job)

    async def write(self, job: Job[T]) -> T:
        """Do a job in a transaction: all of it is kept, or nothing.

        Raises:
            StateError: the file cannot be written; nothing was changed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.write_here, job)

    def read_here(self, job: Job[T]) -> T:
        """``read`` in the calling thread, for programs without an event loop; never mixed with the others."""
        try:
            return job(self._connect())
        except sqlite3.Error as error:
            raise _explain(self._path, error) from error

    def write_here(self, job: Job[T]) -> T:
        """``write`` in the calling thread, for programs without an event loop; never mixed with the others."""
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = job(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _explain(self._path, error) from error
        return result

    async def close(self) -> None:
        """Finish the jobs that wait, and close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.close_here)
        self._thread.shutdown()

    def close_here(self) -> None:
        """``close`` in the calling thread."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _open(self._path)
        return self._connection


def prepare(folder: Path) -> Path:
    """Make the database of a state folder, or bring an older one to the newest form; returns its path.

    Only its owner may read it: SQLite gives the files beside it (``-wal``, ``-shm``) the same rights.

    Raises:
        StateError: the folder cannot be written, or the file is damaged or a newer gateway's.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        connection = _open(path)
        try:
            migrate(connection)
        finally:
            connection.close()
    except OSError as error:
        raise StateError(f"the gateway's state {path} cannot be used: {error.strerror}") from error
    except NewerError as error:
        raise StateError(f"the gateway's state {path} is a newer gateway's: {error}; start that one") from error
    except sqlite3.Error as error:
        raise _explain(path, error) from error
    return path


def set_aside(folder: Path) -> Path:
    """Rename a damaged database and what belongs to it, so that ``prepare`` makes a new one; returns its new path.

    Raises:
        StateError: it cannot be renamed.
    """
    path = folder / FILE_NAME
    aside = folder / f"{FILE_NAME}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        for end in ("-wal", "-shm", ""):
            if (part := Path(f"{path}{end}")).exists():
                part.rename(f"{aside}{end}")
    except OSError as error:
        raise StateError(f"the gateway's damaged state {path} cannot be set aside: {error.strerror}") from error
    return aside


def _open(path: Path) -> sqlite3.Connection:
    # Opened without "create": a file that was removed meanwhile is a failure, not a new and empty state.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit may be lost when the machine loses power, never when a process dies, and the file stays whole.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _explain(path: Path, error: sqlite3.Error) -> StateError:
    # The extended code of an error begins with its kind.
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_broken = kind in _NOT_A_DATABASE
    seen = {
        sqlite3.SQLITE_FULL: "the disk is full",
        sqlite3.SQLITE_READONLY: "it is read-only",
        sqlite3.SQLITE_BUSY: "another process holds it",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
        sqlite3.SQLITE_IOERR: "the disk does not answer as it should",
    }.get(kind, "it is damaged" if is_broken else type(error).__name__)
    return StateError(f"the gateway's state {path} cannot be used: {seen}", is_broken)
