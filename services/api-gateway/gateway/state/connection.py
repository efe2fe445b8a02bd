"""What jobs are given, and what they run in: the same for a SQLite file and for a PostgreSQL server. Pure.

SQL is written once, in words that both understand, with SQLite's marks (``?``, ``:name``) and types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class StateError(Exception):
    """The state cannot be used; the message is one line for the operator, with no secret in it.

    Attributes:
        is_broken: whether the file is damaged, so that it stays unusable until it is replaced.
    """

    def __init__(self, message: str, is_broken: bool = False) -> None:
        super().__init__(message)
        self.is_broken = is_broken


class Cursor(Protocol):
    """What a query found."""

    @property
    def rowcount(self) -> int:
        """Rows that were changed."""
        ...

    def fetchone(self) -> Any:
        """The next row as a tuple; None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """The rows that are left, one by one."""
        ...


class Connection(Protocol):
    """What a job reads from and writes to; ``sqlite3.Connection`` is one."""

    def execute(self, query: str, values: Sequence[Any] | Mapping[str, Any] = (), /) -> Cursor:
        """Run a query with its values."""
        ...

    def executemany(self, query: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Run a query once for each row of values."""
        ...


Job = Callable[[Connection], T]


class Session(Protocol):
    """An open connection that jobs are run on."""

    @property
    def is_lost(self) -> bool:
        """Whether it can no longer be used, so that the next job needs another."""
        ...

    def read(self, job: Job[T]) -> T:
        """Do a job that changes nothing; raises ``StateError``."""
        ...

    def write(self, job: Job[T]) -> T:
        """Do a job in a transaction: all of it is kept, or nothing; raises ``StateError``."""
        ...

    def close(self) -> None:
        """End it; never fails."""
        ...
