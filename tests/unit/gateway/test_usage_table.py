"""The table of usage: written in batches, added up for any span of time, removed when old."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gateway.state.connection import Connection
from gateway.state.database import FILE_NAME, prepare
from gateway.state.schema import migrate
from gateway.state.usage import UsageRow, UsageSum, add_usage, remove_usage, report_usage, sum_tokens
from hypothesis import given
from hypothesis import strategies as st

DAY_S = 86_400.0
NOON = 20_000 * DAY_S + DAY_S / 2  # 2024-10-04


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    prepare(tmp_path)
    opened = sqlite3.connect(tmp_path / FILE_NAME)
    yield opened
    opened.close()


def row(ended_at: float = NOON, **changes: Any) -> UsageRow:
    facts: dict[str, Any] = {
        "request": "r",
        "key": "ann",
        "model": "chat",
        "format": "chat",
        "provider": "engine",
        "target": "chat",
        "tried": "[]",
        "status": 200,
        "outcome": "ok",
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "cached_tokens": None,
        "is_estimate": 0,
        "queue_s": 0.0,
        "first_s": None,
        "duration_s": 0.5,
        "prompt_hash": b"h" * 32,
    }
    return UsageRow(ended_at=ended_at, **{**facts, **changes})


def test_sums_are_those_of_the_records(connection: Connection) -> None:
    add_usage(connection, [row(), row(key="bob", cached_tokens=4), row(outcome="upstream_error", status=503)])
    add_usage(connection, [row(outcome="client_disconnected", status=499, prompt_tokens=1, completion_tokens=1)])
    assert report_usage(connection, "key") == [
        UsageSum("ann", 3, 1, 21, 5, 0, 1.5),
        UsageSum("bob", 1, 0, 10, 2, 4, 0.5),
    ]
    assert report_usage(connection, "model") == [UsageSum("chat", 4, 1, 31, 7, 4, 2.0)]


def test_days_are_those_of_utc_in_their_order(connection: Connection) -> None:
    add_usage(connection, [row(NOON + DAY_S), row(NOON), row(NOON + 0.49 * DAY_S)])
    assert [(item.name, item.requests) for item in report_usage(connection, "day")] == [
        ("2024-10-04", 2),
        ("2024-10-05", 1),
    ]


def test_the_largest_come_first(connection: Connection) -> None:
    add_usage(connection, [row(provider="near"), row(provider="far", completion_tokens=3)])
    assert [item.name for item in report_usage(connection, "provider")] == ["far", "near"]


times = st.one_of(st.integers(0, 8).map(lambda half: NOON + half * DAY_S / 2), st.floats(NOON, NOON + 4 * DAY_S))


@given(ended=st.lists(times, max_size=12), since=st.none() | times, until=st.none() | times)
def test_any_span_has_exactly_its_records(ended: list[float], since: float | None, until: float | None) -> None:
    with sqlite3.connect(":memory:") as memory:
        migrate(memory)
        check_span(memory, ended, since, until)
    memory.close()


def check_span(connection: Connection, ended: list[float], since: float | None, until: float | None) -> None:
    """Write records into an empty database, and compare what is reported of a span."""
    add_usage(connection, [row(at) for at in ended])
    inside = [at for at in ended if at >= (since or 0) and (until is None or at < until)]
    found = report_usage(connection, "key", since, until)
    assert sum(item.requests for item in found) == len(inside)
    assert sum(item.prompt_tokens for item in found) == 10 * len(inside)
    days = Counter(datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d") for at in inside)
    assert {item.name: item.requests for item in report_usage(connection, "day", since, until)} == days


def test_the_tokens_of_a_key_since_a_day(connection: Connection) -> None:
    add_usage(connection, [row(NOON), row(NOON + DAY_S), row(NOON + DAY_S, key="bob")])
    assert sum_tokens(connection, "ann", NOON, NOON + 2 * DAY_S) == 24
    assert sum_tokens(connection, "ann", NOON + 1, NOON + 2 * DAY_S) == 12
    assert sum_tokens(connection, "nobody", 0, NOON + 2 * DAY_S) == 0


def test_old_records_go_a_few_at_a_time_and_their_sums_with_them(connection: Connection) -> None:
    add_usage(connection, [row(NOON + number) for number in range(25)])
    add_usage(connection, [row(NOON + DAY_S), row(NOON + 2 * DAY_S)])
    runs = 1
    while remove_usage(connection, NOON + DAY_S, at_most=10):
        runs += 1
    assert runs == 3
    # The day in whose middle the time lies is kept whole.
    assert [item.name for item in report_usage(connection, "day")] == ["2024-10-05", "2024-10-06"]
    (left,) = connection.execute("SELECT count(*) FROM usage").fetchone()
    assert left == 2
