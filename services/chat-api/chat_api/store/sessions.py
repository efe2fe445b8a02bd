"""Sessions and their turns: read, added to, removed. I/O through a connection; each function is a job.

Nothing is found without its owner's hash, which is compared once more in constant time.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from chat_api.store.database import Connection
from chat_api.store.schema import FullError, TakenError

# More than any model's context holds, and few enough to be read in a moment.
MOST_TURNS = 1000
# Of one export.
MOST_EXPORTED = 100_000
# Of one list.
MOST_LISTED = 1000
_COLUMNS = "id, owner, name, created_at, used_at, summary, summarised"


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session.

    Attributes:
        created_at, used_at: in seconds since 1970.
        summary: of the turns up to number ``summarised``; empty for none.
    """

    id: int
    name: str
    created_at: float
    used_at: float
    summary: str
    summarised: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn: what was asked, and the answer's fields. ``asked`` is the hash of the whole request."""

    number: int
    question: str
    answer: dict[str, Any]
    asked: bytes = b""


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to be kept.

    Attributes:
        after: number of the last turn that its asker knew; 0 for none.
        idempotency: the client's key; empty for none.
        is_free: whether its owner has no key.
    """

    question: str
    answer: dict[str, Any]
    after: int
    idempotency: str = ""
    asked: bytes = b""
    is_free: bool = False


def find_session(connection: Connection, owner: bytes, name: str) -> StoredSession | None:
    """The owner's session of this name."""
    query = f"SELECT {_COLUMNS} FROM sessions WHERE owner = ? AND name = ?"  # noqa: S608, names of our own
    return next(_read_sessions(connection, query, owner, name), None)


def list_sessions(connection: Connection, owner: bytes, most: int = MOST_LISTED) -> list[tuple[StoredSession, int]]:
    """So many of the owner's sessions, the one used last first, with the numbers of their turns."""
    order = "FROM sessions WHERE owner = ? ORDER BY used_at DESC, id DESC LIMIT ?"
    last_turn = "(SELECT max(number) FROM turns WHERE session = sessions.id)"
    last: dict[int, int | None] = dict(connection.run(f"SELECT id, {last_turn} {order}", (owner, most)))
    found = _read_sessions(connection, f"SELECT {_COLUMNS} {order}", owner, most)
    # Another service at the same database may have begun one between the two questions.
    return [(session, last.get(session.id) or 0) for session in found]


def owns_any(connection: Connection, owner: bytes) -> bool:
    """Whether there is a session of this owner's."""
    return any(
        hmac.compare_digest(bytes(kept), owner)
        for (kept,) in connection.run("SELECT owner FROM sessions WHERE owner = ? LIMIT 1", (owner,))
    )


def begin_session(
    connection: Connection, owner: bytes, name: str, now: float, *, is_free: bool = False
) -> StoredSession:
    """The owner's session of this name, begun where there is none; ``is_free`` where its owner has no key."""
    connection.run(
        "INSERT INTO sessions (owner, name, created_at, used_at, is_free) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (owner, name, now, now, int(is_free)),
    )
    session = find_session(connection, owner, name)
    assert session is not None
    return session


def check_room(connection: Connection, most: int) -> None:
    """Whether one more session may be begun without a key.

    Raises:
        FullError: there are so many already.
    """
    if int(connection.run("SELECT count(*) FROM sessions WHERE is_free = 1")[0][0]) >= most:
        raise FullError


def find_last(connection: Connection, session: StoredSession) -> int:
    """Number of the last turn; 0 for none."""
    return int(connection.run("SELECT max(number) FROM turns WHERE session = ?", (session.id,))[0][0] or 0)


def list_turns(connection: Connection, session: StoredSession, after: int = 0, most: int = MOST_TURNS) -> list[Turn]:
    """The newest turns with a number above ``after``, oldest first."""
    rows = connection.run(
        "SELECT number, document, asked FROM turns WHERE session = ? AND number > ? ORDER BY number DESC LIMIT ?",
        (session.id, after, most),
    )
    return [_read_turn(*row) for row in reversed(rows)]


def find_turn(connection: Connection, session: StoredSession, idempotency: str) -> Turn | None:
    """The turn that was asked for with this key of its client."""
    rows = connection.run(
        "SELECT number, document, asked FROM turns WHERE session = ? AND idempotency = ?", (session.id, idempotency)
    )
    return _read_turn(*rows[0]) if rows else None


def add_turn(connection: Connection, owner: bytes, name: str, turn: NewTurn, now: float) -> None:
    """Keep a turn, in a session that is begun with it where there is none.

    Raises:
        TakenError: the session has other turns than its asker knew.
    """
    session = begin_session(connection, owner, name, now, is_free=turn.is_free)
    if find_last(connection, session) != turn.after:
        raise TakenError
    document = orjson.dumps({"question": turn.question, "answer": turn.answer}).decode()
    connection.run(
        "INSERT INTO turns (session, number, document, idempotency, asked) VALUES (?, ?, ?, ?, ?)",
        (session.id, turn.after + 1, document, turn.idempotency or None, turn.asked or None),
    )
    connection.run("UPDATE sessions SET used_at = ? WHERE id = ?", (now, session.id))


def keep_summary(connection: Connection, session: StoredSession, summary: str, number: int) -> None:
    """Keep the summary of the turns up to this number; the turns stay."""
    connection.run(
        "UPDATE sessions SET summary = ?, summarised = ? WHERE id = ?",
        (orjson.dumps(summary).decode(), number, session.id),
    )


def remove_session(connection: Connection, owner: bytes, name: str) -> bool:
    """Remove the owner's session and all its turns; whether there was one."""
    session = find_session(connection, owner, name)
    if session is not None:
        connection.run("DELETE FROM sessions WHERE id = ?", (session.id,))
    return session is not None


def remove_unused(connection: Connection, before: float) -> int:
    """Remove the sessions that nobody used since then; returns their number."""
    (number,) = connection.run("SELECT count(*) FROM sessions WHERE used_at < ?", (before,))[0]
    if number:
        connection.run("DELETE FROM sessions WHERE used_at < ?", (before,))
    return int(number)


def _read_sessions(connection: Connection, query: str, owner: bytes, *values: Any) -> Iterator[StoredSession]:
    for number, kept, name, created_at, used_at, summary, summarised in connection.run(query, (owner, *values)):
        if hmac.compare_digest(bytes(kept), owner):
            yield StoredSession(number, name, created_at, used_at, orjson.loads(summary), summarised)


def _read_turn(number: int, document: str, asked: bytes | None) -> Turn:
    found = orjson.loads(document)
    return Turn(number, found["question"], found["answer"], bytes(asked or b""))
