"""The table of usage and its sums by day: written in batches, added up, removed when old. I/O through a connection.

Every function is a job of a ``Database``, or a part of one. Times are in seconds since 1970, days of UTC counted from
then. Each batch goes into the table and into the sums in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from operator import add
from typing import Literal, NamedTuple

from gateway.state.connection import Connection

OK, CLIENT_LEFT = "ok", "client_disconnected"
# A client that leaves has what it wanted, as an editor whose user types on; nothing has failed.
_NOT_FAILED = (OK, CLIENT_LEFT)
_DAY_S = 86_400
# More than any time of a clock, and small enough for SQLite.
_END_OF_TIME = 2.0**50

Grouping = Literal["key", "model", "provider", "day"]


class UsageRow(NamedTuple):
    """One request, as the columns of the table.

    Attributes:
        tried: JSON list of the tries that failed before the one that answered.
        cached_tokens: of the prompt's; None where the server does not say.
        queue_s: seconds in queues of engines.
        first_s: seconds to the answer's first content; None where there was none.
        prompt_hash: salted SHA-256; None where no prompt was read.
    """

    ended_at: float
    request: str
    key: str
    model: str
    format: str
    provider: str
    target: str
    tried: str
    status: int
    outcome: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None
    is_estimate: int
    queue_s: float
    first_s: float | None
    duration_s: float
    prompt_hash: bytes | None


class UsageSum(NamedTuple):
    """What several requests took together; ``duration_s`` is the sum of their seconds."""

    name: str
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    duration_s: float


_INSERT = (
    f"INSERT INTO usage ({', '.join(UsageRow._fields)}) "  # noqa: S608, names of our own
    f"VALUES ({', '.join('?' * len(UsageRow._fields))})"
)
_SUMS = UsageSum._fields[1:]
# PostgreSQL's sum of whole numbers is one of any length.
_ADDED_UP = ", ".join(
    f"{f'sum({name})' if name == 'duration_s' else f'CAST(sum({name}) AS BIGINT)'} AS {name}" for name in _SUMS
)
_KEY_SUMS, _MODEL_SUMS = ("key", "day"), ("day", "model", "provider")
# Whole days from their sums, and what begins or ends within a day from its records.
_REPORT = f"""
    SELECT name, {_ADDED_UP} FROM (
        SELECT {{name}} AS name, {_ADDED_UP} FROM {{table}}
        WHERE day >= :first_day AND day < :end_day{{only}} GROUP BY 1
        UNION ALL
        SELECT {{of_record}}, 1, CASE WHEN outcome IN (:ok, :left) THEN 0 ELSE 1 END, prompt_tokens, completion_tokens,
            coalesce(cached_tokens, 0), duration_s
        FROM usage
        WHERE (ended_at >= :since AND ended_at < :head_end OR ended_at >= :tail AND ended_at < :until){{only}}
    ) AS found
    GROUP BY 1
"""  # noqa: S608, names of our own
_TOKENS = """
    SELECT CAST(sum(tokens) AS BIGINT) FROM (
        SELECT prompt_tokens + completion_tokens AS tokens
        FROM usage_of_keys WHERE key = :key AND day >= :first_day AND day < :end_day
        UNION ALL
        SELECT prompt_tokens + completion_tokens FROM usage WHERE key = :key
            AND (ended_at >= :since AND ended_at < :head_end OR ended_at >= :tail AND ended_at < :until)
    ) AS found
"""


def _write_add(table: str, names: tuple[str, ...]) -> str:
    columns = (*names, *_SUMS)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608
        f"ON CONFLICT ({', '.join(names)}) DO UPDATE SET "
        f"{', '.join(f'{name} = {table}.{name} + excluded.{name}' for name in _SUMS)}"
    )


_ADD_TO_KEYS = _write_add("usage_of_keys", _KEY_SUMS)
_ADD_TO_MODELS = _write_add("usage_of_models", _MODEL_SUMS)


def add_usage(connection: Connection, rows: Sequence[UsageRow]) -> None:
    """Write a batch."""
    of_keys: dict[tuple[object, ...], tuple[float, ...]] = {}
    of_models: dict[tuple[object, ...], tuple[float, ...]] = {}
    for row in rows:
        day = int(row.ended_at // _DAY_S)
        failed = int(row.outcome not in _NOT_FAILED)
        counted = (1, failed, row.prompt_tokens, row.completion_tokens, row.cached_tokens or 0, row.duration_s)
        for sums, names in ((of_keys, (row.key, day)), (of_models, (day, row.model, row.provider))):
            before = sums.get(names)
            sums[names] = tuple(map(add, before, counted)) if before else counted
    connection.executemany(_INSERT, rows)
    # In one order, so that of several writers none waits for another that waits for it.
    connection.executemany(_ADD_TO_KEYS, sorted((*names, *sums) for names, sums in of_keys.items()))
    connection.executemany(_ADD_TO_MODELS, sorted((*names, *sums) for names, sums in of_models.items()))


def has_usage(connection: Connection, row: UsageRow) -> bool:
    """Whether this very record is written."""
    query = "SELECT 1 FROM usage WHERE ended_at = ? AND request = ? AND key = ? AND duration_s = ? LIMIT 1"
    return connection.execute(query, (row.ended_at, row.request, row.key, row.duration_s)).fetchone() is not None


def read_salt(connection: Connection) -> bytes:
    """What prompt hashes of this database begin with."""
    (salt,) = connection.execute("SELECT value FROM facts WHERE name = 'prompt_salt'").fetchone()
    return salt.encode() if isinstance(salt, str) else bytes(salt)


def report_usage(
    connection: Connection, by: Grouping, since: float | None = None, until: float | None = None
) -> list[UsageSum]:
    """The sums of each key, model, provider or day: days in their order, the others by their tokens, largest first.

    Args:
        since, until: the first time that counts, and the first that does not; None for no bound.
    """
    if by == "day":
        return _report_days(connection, "usage_of_models", "", _split(since, until))
    query = _REPORT.format(name=by, table="usage_of_keys" if by == "key" else "usage_of_models", of_record=by, only="")
    found = connection.execute(query, _split(since, until)).fetchall()
    sums = [UsageSum(*row) for row in found]
    return sorted(sums, key=lambda item: (-item.prompt_tokens - item.completion_tokens, item.name))


def report_days_of_key(connection: Connection, key: str, since: float) -> list[UsageSum]:
    """What one key took on each day from this time on, days in their order."""
    return _report_days(connection, "usage_of_keys", " AND key = :key", {**_split(since, None), "key": key})


def _report_days(connection: Connection, table: str, only: str, values: dict[str, float | str]) -> list[UsageSum]:
    of_record = "CASE WHEN ended_at < :head_end THEN :head_day ELSE :end_day END"
    query = _REPORT.format(name="day", table=table, of_record=of_record, only=only)
    return [UsageSum(_name_day(row[0]), *row[1:]) for row in sorted(connection.execute(query, values).fetchall())]


def sum_tokens(connection: Connection, key: str, since: float, until: float) -> int:
    """Tokens of prompts and answers of the requests of a key that ended from ``since`` to before ``until``."""
    (total,) = connection.execute(_TOKENS, {**_split(since, until), "key": key}).fetchone()
    return total or 0


def remove_usage(connection: Connection, before: float, at_most: int) -> bool:
    """Remove records and sums of days that ended before this time, so many of each; tells whether more may be left."""
    day = int(before // _DAY_S)
    records = connection.execute(
        "DELETE FROM usage WHERE id IN (SELECT id FROM usage WHERE ended_at < ? LIMIT ?)", (day * _DAY_S, at_most)
    ).rowcount
    removed = [records]
    for table, names in (("usage_of_keys", _KEY_SUMS), ("usage_of_models", _MODEL_SUMS)):
        columns = ", ".join(names)
        old = f"SELECT {columns} FROM {table} WHERE day < ? LIMIT ?"  # noqa: S608, names of our own
        found = connection.execute(f"DELETE FROM {table} WHERE ({columns}) IN ({old})", (day, at_most))  # noqa: S608
        removed.append(found.rowcount)
    return max(removed) >= at_most


def _split(since: float | None, until: float | None) -> dict[str, float | str]:
    """A span of time as whole days, and what it has of days before and after them."""
    begin, end = since or 0.0, _END_OF_TIME if until is None else until
    first_day, end_day = -int(-begin // _DAY_S), int(end // _DAY_S)
    head_end, tail = float(first_day * _DAY_S), float(end_day * _DAY_S)
    if first_day > end_day:  # both within one day
        head_end = tail = end
    days: dict[str, float | str] = {"first_day": first_day, "end_day": end_day, "head_end": head_end, "tail": tail}
    days["head_day"] = int(begin // _DAY_S)
    return {**days, "since": begin, "until": end, "ok": OK, "left": CLIENT_LEFT}


def _name_day(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY_S, UTC).strftime("%Y-%m-%d")
