"""Where sessions are kept: one SQLite file, or a PostgreSQL server. Does I/O: either.

Jobs run in one thread of their own, so that the disk never holds up the event loop, and each in a transaction: all
of it is kept, or nothing. SQL is written once, in words that both understand, with SQLite's marks (``?``).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from chat_api.store.schema import MIGRATIONS, StoreError, UncertainError, check_form

FILE_NAME = "sessions.db"
# Another process's transaction takes milliseconds, a checkpoint a fraction of a second.
_BUSY_S = 5.0
_JOB_S = 15.0

T = TypeVar("T")
Rows = list[tuple[Any, ...]]


class Connection(Protocol):
    """What a job reads from and writes to."""

    def run(self, query: str, values: Sequence[Any] = ()) -> Rows:
        """Run a query with its values; returns the rows that it found."""
        ...


Job = Callable[[Connection], T]


class Server(Protocol):
    """An open connection on which jobs are done."""

    @property
    def is_lost(self) -> bool:
        """Whether it can no longer be used, so that the next job needs another."""
        ...

    def do(self, job: Job[T]) -> T:
        """Do a job in a transaction; raises ``StoreError``."""
        ...

    def tidy(self) -> None:
        """After something was removed: leave nothing of it in files."""
        ...

    def close(self) -> None:
        """End it; never fails."""
        ...


class Database:
    """The connection of one service.

    Args:
        connect: opens it, and makes or renews the tables.
    """

    def __init__(self, connect: Callable[[], Server]) -> None:
        self._connect = connect
        self._server: Server | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def do(self, job: Job[T], *, tidies: bool = False) -> T:
        """Do a job: all of it is kept when this returns, or nothing.

        Args:
            tidies: whether what it removed shall be left in no file.

        Raises:
            UncertainError: it goes on, and may still be done.
            StoreError: it could not be done; nothing was changed.
        """
        job_here = self._thread.submit(self._do_here, job, tidies)
        doing = asyncio.wrap_future(job_here)
        try:
            # A client that leaves while its turn is written does not stop the writing.
            return await asyncio.wait_for(asyncio.shield(doing), _JOB_S)
        except TimeoutError:
            doing.add_done_callback(lambda done: done.cancelled() or done.exception())
            seen = f"the sessions did not answer within {_JOB_S:g} s"
            # One that waits behind others is taken back, and never begins.
            raise (StoreError if job_here.cancel() else UncertainError)(seen) from None

    def open_here(self) -> None:
        """Open it in the calling thread, before anything is served; raises ``StoreError``."""
        self._thread.submit(self._open).result()

    async def close(self) -> None:
        """Finish the jobs that wait, and close the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_here)
        self._thread.shutdown()

    def _open(self) -> Server:
        if self._server and self._server.is_lost:
            self._close_here()
        if self._server is None:
            self._server = self._connect()
        return self._server

    def _do_here(self, job: Job[T], tidies: bool) -> T:
        server = self._open()
        try:
            done = server.do(job)
            if tidies:
                server.tidy()
        except StoreError:
            self._close_here()  # the next job opens another
            raise
        return done

    def _close_here(self) -> None:
        if self._server:
            self._server.close()
            self._server = None


class FileServer:
    """The SQLite file of a folder, which only its owner may read: itself, its ``-wal`` and its ``-shm``."""

    is_lost = False

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # SQLite gives the files beside it the same rights.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._path.chmod(0o600)
            self._connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        except OSError as error:
            raise StoreError(f"the sessions in {self._path} cannot be used: {error.strerror}") from error
        except sqlite3.Error as error:
            raise self._explain(error) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        """Set the connection, and bring the tables to the newest form."""
        try:
            # Kept when it is acknowledged, also when the machine loses power; what is removed is overwritten.
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            (found,) = self._connection.execute("PRAGMA user_version").fetchone()
            seen = check_form(found)
            for number, script in enumerate(MIGRATIONS[seen:], seen + 1):
                self._connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def run(self, query: str, values: Sequence[Any] = ()) -> Rows:
        """See ``Connection``."""
        return self._connection.execute(query, values).fetchall()

    def do(self, job: Job[T]) -> T:
        """See ``Server``."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                done = job(self)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._explain(error) from error
        return done

    def tidy(self) -> None:
        """See ``Server``."""
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """See ``Server``."""
        self._connection.close()

    def _explain(self, error: sqlite3.Error) -> StoreError:
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        seen = {
            sqlite3.SQLITE_FULL: "the disk is full",
            sqlite3.SQLITE_READONLY: "it is read-only",
            sqlite3.SQLITE_BUSY: "another process holds it",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
            sqlite3.SQLITE_IOERR: "the disk does not answer as it should",
            sqlite3.SQLITE_CORRUPT: "it is damaged",
            sqlite3.SQLITE_NOTADB: "it is no database",
        }.get(kind, type(error).__name__)
        return StoreError(f"the sessions in {self._path} cannot be used: {seen}")
