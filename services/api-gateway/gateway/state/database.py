"""The gateway's database: one SQLite file, which each process opens for itself, or a server. Does I/O: either.

In: where the state is. Out: what jobs read from and write to a connection. Jobs run in one thread of their own, so that
neither the disk nor another process's transaction ever holds up the event loop. Everything that goes wrong is a
``StateError``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.sqlite_file import do_in_transaction, explain, open_file
from gateway.state.connection import Connection, Job, Session, StateError, T
from gateway.state.postgres import CONNECT_S, JOB_S, PostgresServer
from gateway.state.schema import NewerError, migrate

FILE_NAME = "gateway.db"

# Where a state is: the path of a SQLite file that ``prepare`` made, or a server, whose tables each connection makes.
Place = Path | PostgresServer


class Database:
    """One process's connection to the state.

    Args:
        longest_s: seconds after which ``read`` and ``write`` give up; None for never, where the state is a file.
    """

    def __init__(self, place: Place, longest_s: float | None = None) -> None:
        self._place = place
        self._longest_s = None if isinstance(place, Path) else longest_s or CONNECT_S + JOB_S
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._session: Session | None = None

    async def open(self) -> None:
        """Open a file now, so that it stays ours where its folder is moved; one that cannot be is told of later."""
        if isinstance(self._place, Path):
            with contextlib.suppress(StateError):
                await self.read(lambda connection: connection.execute("SELECT count(*) FROM facts").fetchone())

    async def read(self, job: Job[T]) -> T:
        """Do a job that changes nothing.

        Raises:
            StateError: the state cannot be read.
        """
        return await self._run(self.read_here, job)

    async def write(self, job: Job[T]) -> T:
        """Do a job in a transaction: all of it is kept, or nothing.

        Raises:
            StateError: the state cannot be written; nothing was changed.
        """
        return await self._run(self.write_here, job)

    def read_here(self, job: Job[T]) -> T:
        """``read`` in the calling thread, for programs without an event loop; never mixed with the others."""
        return self._connect().read(job)

    def write_here(self, job: Job[T]) -> T:
        """``write`` in the calling thread, for programs without an event loop; never mixed with the others."""
        return self._connect().write(job)

    async def close(self) -> None:
        """Finish the jobs that wait, and close the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.close_here)
        self._thread.shutdown()

    def close_here(self) -> None:
        """``close`` in the calling thread."""
        if self._session:
            self._session.close()
            self._session = None

    async def _run(self, do: Callable[[Job[T]], T], job: Job[T]) -> T:
        given_up = threading.Event()

        def check_wanted() -> None:
            if given_up.is_set():
                raise StateError("nobody waits for it any more")

        def do_in_time(connection: Connection) -> T:
            check_wanted()
            result = job(connection)
            check_wanted()  # or what was told to have changed nothing would be kept
            return result

        try:
            async with asyncio.timeout(self._longest_s):
                return await asyncio.get_running_loop().run_in_executor(self._thread, do, do_in_time)
        except TimeoutError:
            raise StateError(f"the gateway's state did not answer within {self._longest_s:g} s") from None
        finally:
            given_up.set()

    def _connect(self) -> Session:
        if self._session and self._session.is_lost:
            self.close_here()
        if self._session is None:
            self._session = FileSession(self._place) if isinstance(self._place, Path) else self._place.connect()
        return self._session


class FileSession:
    """An open SQLite file; see ``Session``."""

    is_lost = False

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = _open(path)
        except sqlite3.Error as error:
            raise _explain(path, error) from error

    def read(self, job: Job[T]) -> T:
        """See ``Session``."""
        try:
            return job(self._connection)
        except sqlite3.Error as error:
            raise _explain(self._path, error) from error

    def write(self, job: Job[T]) -> T:
        """See ``Session``."""
        try:
            return do_in_transaction(self._connection, job)
        except sqlite3.Error as error:
            raise _explain(self._path, error) from error

    def close(self) -> None:
        """See ``Session``."""
        self._connection.close()


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
    # A commit may be lost when the machine loses power, never when a process dies, and the file stays whole.
    return open_file(path, "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON")


def _explain(path: Path, error: sqlite3.Error) -> StateError:
    seen, is_broken = explain(error)
    return StateError(f"the gateway's state {path} cannot be used: {seen}", is_broken)
