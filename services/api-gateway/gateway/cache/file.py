"""The file of kept answers: SQLite, opened by each thread for itself. Does I/O: that file, nothing else.

Everything that goes wrong is a ``CacheError``.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from gateway.cache.values import CacheError, Entry, Size
from gateway.sqlite_file import T, do_in_transaction, explain, open_file

FILE_NAME = "cache.db"
# What a row takes beside its answer: its other columns, its indexes, the rest of its last page.
_OVERHEAD = 8192
# What is removed is overwritten.
_PRAGMAS = ("synchronous = NORMAL", "secure_delete = ON", f"journal_size_limit = {4 * 1024 * 1024}")
_COLUMNS = "digest, model, key, target, warning, is_stream, is_local, stored_at, ends_at, answer"


class CacheFile:
    """A connection to the file.

    Args:
        path: of a file that ``prepare`` made.
        limit_bytes: the most that answers may take of it, for who keeps some.
    """

    def __init__(self, path: Path, limit_bytes: int = 0) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._connection: sqlite3.Connection | None = None

    def find(self, digest: bytes) -> Entry | None:
        """The answer of this digest.

        Raises:
            CacheError: the file cannot be read.
        """
        row = self._do(lambda connection: connection.execute(
            f"SELECT {_COLUMNS} FROM answers WHERE digest = ?", (digest,)).fetchone())  # noqa: S608  # fmt: skip
        entry = Entry._make(row) if row else None
        # SQLite has no truth values, and what is sealed belongs to these.
        return entry and entry._replace(is_stream=bool(entry.is_stream), is_local=bool(entry.is_local))

    def put(self, entries: Iterable[Entry], used: Mapping[bytes, float], now: float) -> None:
        """Keep these, note when others were used, and let go what is too old, or least recently used and too much.

        Raises:
            CacheError: the file cannot be written; nothing was changed.
        """

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE answers SET used_at = ? WHERE digest = ?", ((at, digest) for digest, at in used.items())
            )
            connection.execute("DELETE FROM answers WHERE ends_at <= ?", (now,))
            for entry in entries:
                connection.execute("DELETE FROM answers WHERE digest = ?", (entry.digest,))
                _make_room(connection, self._limit_bytes - len(entry.answer) - _OVERHEAD)
                connection.execute(
                    f"INSERT INTO answers ({_COLUMNS}, used_at) VALUES ({', '.join('?' * 11)})",  # noqa: S608
                    (*entry, now),
                )

        self._write(write)

    def clear(self, model: str = "", key: str = "") -> int:
        """Remove the answers of a route, or that a key asked for, or all; returns their number. The file shrinks.

        Raises:
            CacheError: the file cannot be written; nothing was changed.
        """

        def remove(connection: sqlite3.Connection) -> int:
            wanted = "(? = '' OR model = ?) AND (? = '' OR key = ?)"
            return connection.execute(
                f"DELETE FROM answers WHERE {wanted}", (model, model, key, key)  # noqa: S608  # one text, of ours
            ).rowcount  # fmt: skip

        removed = self._write(remove)
        self._do(_shrink)
        return removed

    def tidy(self, models: Collection[str]) -> None:
        """Let go what other routes than these had, and what is more than the limit; the file shrinks.

        Raises:
            CacheError: the file cannot be written.
        """

        def remove(connection: sqlite3.Connection) -> None:
            names = connection.execute("SELECT DISTINCT model FROM answers").fetchall()
            gone = [name for name in names if name[0] not in models]
            connection.executemany("DELETE FROM answers WHERE model = ?", gone)
            _make_room(connection, self._limit_bytes)

        self._write(remove)
        self._do(_shrink)

    def measure(self) -> Size:
        """How much is kept.

        Raises:
            CacheError: the file cannot be read.
        """
        return self._do(
            lambda connection: Size(
                connection.execute("SELECT count(*) FROM answers").fetchone()[0], _count_used(connection)
            )
        )

    def count_bytes(self) -> int:
        """The bytes that all answers take, without a look at each.

        Raises:
            CacheError: the file cannot be read.
        """
        return self._do(_count_used)

    def list_models(self) -> list[tuple[str, int, int]]:
        """Name, answers and bytes of answers of each route that has some.

        Raises:
            CacheError: the file cannot be read.
        """
        query = "SELECT model, count(*), sum(length(answer)) FROM answers GROUP BY model ORDER BY model"
        return self._do(lambda connection: connection.execute(query).fetchall())

    def list_digests(self) -> list[bytes]:
        """What may be found.

        Raises:
            CacheError: the file cannot be read.
        """
        return self._do(lambda connection: [row[0] for row in connection.execute("SELECT digest FROM answers")])

    def hold_to_key(self, mark: bytes) -> int:
        """Remove the answers that were sealed with another key than this one's mark, or not at all; their number.

        Args:
            mark: empty where nothing is sealed.

        Raises:
            CacheError: the file cannot be written.
        """
        found = self._do(lambda connection: connection.execute("SELECT value FROM facts WHERE name = 'key'").fetchone())
        if (found[0] if found else b"") == mark:
            return 0
        removed = self.clear()
        self._write(lambda connection: connection.execute("INSERT OR REPLACE INTO facts VALUES ('key', ?)", (mark,)))
        return removed

    def bring_to_form(self, version: int, schema: str) -> None:
        """Make the tables of a new file.

        Raises:
            CacheError: the file is of another form, or cannot be written.
        """
        if self._do(_read_version) == 0:
            self._do(lambda connection: connection.executescript(schema))
        if self._do(_read_version) != version:
            raise CacheError("it has another gateway's form", is_broken=True)

    def close(self) -> None:
        """Close the file; opened again with the next use."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return self._do(lambda connection: do_in_transaction(connection, job))

    def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = open_file(self._path, *_PRAGMAS)
            return job(self._connection)
        except sqlite3.Error as error:
            # Or a file that was replaced meanwhile would never be seen.
            with contextlib.suppress(sqlite3.Error):
                self.close()
            raise CacheError(*explain(error)) from error


def _read_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _make_room(connection: sqlite3.Connection, limit_bytes: int) -> None:
    """Remove what was used longest ago until no more than so many bytes are taken."""
    while _count_used(connection) > limit_bytes:
        oldest = "SELECT id FROM answers ORDER BY used_at LIMIT 1"
        if not connection.execute(f"DELETE FROM answers WHERE id = ({oldest})").rowcount:  # noqa: S608  # ours
            return


def _count_used(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int(size * (pages - free))


def _shrink(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA incremental_vacuum").fetchall()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
