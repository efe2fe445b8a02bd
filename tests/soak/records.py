"""A million records of usage: how long reports of them take, and a batch of new ones. Does I/O: a folder, the clock."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from gateway.state.database import prepare
from gateway.state.usage import Grouping, UsageRow, add_usage, report_usage, sum_tokens

DAYS, MODELS, PROVIDERS = 400, 5, 3
FILL, BATCH, BATCHES = 10_000, 20, 200
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RecordsReport:
    """What was measured; times in milliseconds.

    Attributes:
        batch_ms: medians of a batch of 20 records in an empty database, and in the full one.
        reports_ms: of each kind of report over all days, of the last week, and of the tokens of one key since a month.
        size_mib: of the full database.
    """

    batch_ms: tuple[float, float]
    reports_ms: dict[str, float]
    size_mib: int


def measure_records(folder: Path, records: int, keys: int) -> RecordsReport:
    """Fill a database with so many records of so many keys, and measure before and after."""
    path = prepare(folder)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = NORMAL")
        chance, now = random.Random(1), time.time()
        empty = _measure_batches(connection, chance, keys, now)
        for start in range(0, records, FILL):
            days = DAYS * (1 - start / records)
            _write(connection, [_build(chance, keys, now - days * DAY_S) for _ in range(FILL)])
        full = _measure_batches(connection, chance, keys, now)
        reports = {
            name: _measure(lambda name=name: report_usage(connection, name))  # type: ignore[misc]
            for name in get_args(Grouping)
        }
        reports["key, 7 days"] = _measure(lambda: report_usage(connection, "key", now - 7 * DAY_S))
        reports["tokens of a key"] = _measure(lambda: sum_tokens(connection, "key-7", now - 30 * DAY_S, now))
    return RecordsReport((empty, full), reports, path.stat().st_size >> 20)


def _measure(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def _measure_batches(connection: sqlite3.Connection, chance: random.Random, keys: int, now: float) -> float:
    batches = [[_build(chance, keys, now) for _ in range(BATCH)] for _ in range(BATCHES)]
    return statistics.median(_measure(lambda rows=rows: _write(connection, rows)) for rows in batches)  # type: ignore[misc]


def _write(connection: sqlite3.Connection, rows: list[UsageRow]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    add_usage(connection, rows)
    connection.execute("COMMIT")


def _build(chance: random.Random, keys: int, ended_at: float) -> UsageRow:
    number = chance.randrange(keys)
    return UsageRow(
        ended_at=ended_at + chance.random(),
        request=f"req_{chance.getrandbits(128):032x}",
        key=f"key-{number}",
        model=f"model-{number % MODELS}",
        format="chat",
        provider=f"provider-{number % PROVIDERS}",
        target=f"model-{number % MODELS}",
        tried="[]",
        status=200,
        outcome="ok",
        prompt_tokens=chance.randrange(20_000),
        completion_tokens=chance.randrange(500),
        cached_tokens=chance.randrange(10_000),
        is_estimate=0,
        queue_s=0.0,
        first_s=0.2,
        duration_s=3.0,
        prompt_hash=chance.randbytes(32),
    )
