"""The writer behind the answers: at once, in order, never in anybody's way, and honest about what it loses."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from gateway.observe import usage
from gateway.observe.usage import Recorder
from gateway.state.database import Database, prepare
from gateway.state.usage import add_usage, report_usage
from prometheus_client import REGISTRY

from tests.unit.gateway.test_usage_rows import record
from tests.unit.gateway.test_usage_table import DAY_S, row

DEADLINE_S = 30.0


def count(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (found,) = connection.execute("SELECT count(*) FROM usage").fetchone()
    connection.close()
    return int(found)


def read_gauge(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


def run(path: Path, scenario: Callable[[Recorder, Database], Awaitable[None]], keep_days: int = 0) -> None:
    async def play() -> None:
        database = Database(path)
        recorder = Recorder(database, keep_days)
        await recorder.open()
        try:
            await scenario(recorder, database)
        finally:
            await recorder.close()

    asyncio.run(play())


def test_what_is_noted_is_written_soon_and_without_being_asked(tmp_path: Path) -> None:
    path = prepare(tmp_path)

    async def scenario(recorder: Recorder, database: Database) -> None:
        recorder.note(record())
        await until(lambda: count(path) == 1)
        recorder.note(record())
        await until(lambda: count(path) == 2)

    run(path, scenario)


def test_the_end_of_the_worker_writes_what_waits(tmp_path: Path) -> None:
    path = prepare(tmp_path)

    async def scenario(recorder: Recorder, database: Database) -> None:
        for _ in range(3000):
            recorder.note(record())

    run(path, scenario)
    assert count(path) == 3000


def test_what_cannot_be_written_is_kept_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = prepare(tmp_path)
    holder = sqlite3.connect(path, isolation_level=None)

    async def scenario(recorder: Recorder, database: Database) -> None:
        database.read_here(lambda connection: connection.execute("PRAGMA busy_timeout = 1"))
        holder.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            recorder.note(record())
            await until(lambda: not recorder._waiting)
        await until(lambda: len(recorder._backlog.rows) == 3)
        await until(lambda: read_gauge("gateway_usage_records_waiting") == 3)
        assert all(b"planted" not in repr(kept).encode() for kept in recorder._backlog.rows)
        holder.execute("ROLLBACK")
        await until(lambda: count(path) == 3)
        await until(lambda: read_gauge("gateway_usage_records_waiting") == 0)

    with caplog.at_level(logging.WARNING, "gateway.usage"):
        run(path, scenario)
    holder.close()
    first, last = [item.getMessage() for item in caplog.records]
    assert "another process holds it" in first
    assert last == "usage is written again; 0 records were lost"


def test_a_full_disk_loses_nothing_that_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = prepare(tmp_path)

    async def scenario(recorder: Recorder, database: Database) -> None:
        (pages,) = database.read_here(lambda connection: connection.execute("PRAGMA page_count").fetchone())
        database.read_here(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))
        for number in range(500):
            recorder.note(record(request=f"r{number}"))
        await until(lambda: caplog.records)
        database.read_here(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
        await until(lambda: count(path) == 500)

    with caplog.at_level(logging.WARNING, "gateway.usage"):
        run(path, scenario)
    assert "the disk is full" in caplog.records[0].getMessage()
    with sqlite3.connect(path) as connection:
        assert report_usage(connection, "key")[0].requests == 500
    connection.close()


def test_no_more_is_kept_than_the_bound_and_the_loss_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prepare(tmp_path)
    before = read_gauge("gateway_usage_records_lost_total")
    monkeypatch.setattr(usage, "MAX_KEPT", 10)

    async def scenario(recorder: Recorder, database: Database) -> None:
        path.rename(tmp_path / "away")
        for number in range(25):
            recorder.note(record(request=f"r{number}"))
        await until(lambda: recorder._backlog.lost == 15)

    with caplog.at_level(logging.WARNING, "gateway.usage"):
        run(path, scenario)
    told = [item.getMessage() for item in caplog.records]
    assert "cannot be opened" in told[0]
    assert told[-1] == "25 records of usage were lost"
    assert len(told) == 3
    assert read_gauge("gateway_usage_records_lost_total") == before + 25


def test_a_disk_that_stands_still_does_not_keep_prompts_in_memory(tmp_path: Path) -> None:
    path = prepare(tmp_path)

    async def scenario(recorder: Recorder, database: Database) -> None:
        for _ in range(usage._MAX_PROMPTS + 10):
            recorder.note(record())
        assert sum(item.body is not None for item in recorder._waiting) == usage._MAX_PROMPTS

    run(path, scenario)
    assert count(path) == usage._MAX_PROMPTS + 10


def test_a_fault_of_one_batch_does_not_end_the_writing(tmp_path: Path) -> None:
    path = prepare(tmp_path)

    async def scenario(recorder: Recorder, database: Database) -> None:
        recorder.note(record(key="\udc80"))  # which SQLite does not take
        await until(lambda: not recorder._waiting and not recorder._backlog.rows)
        recorder.note(record())
        await until(lambda: count(path) == 1)

    run(path, scenario)


@pytest.mark.parametrize(("keep_days", "left"), [(2, 1), (0, 1501)])
def test_old_records_are_removed_where_that_is_set(tmp_path: Path, keep_days: int, left: int) -> None:
    path = prepare(tmp_path)
    database = Database(path)
    now = time.time()
    rows = [row(now - 4 * DAY_S) for _ in range(1500)] + [row(now)]
    database.write_here(lambda connection: add_usage(connection, rows))
    database.close_here()

    async def scenario(recorder: Recorder, database: Database) -> None:
        await until(lambda: count(path) == left)

    run(path, scenario, keep_days)
    assert count(path) == left


def test_sums_and_records_are_written_together(tmp_path: Path) -> None:
    path = prepare(tmp_path)

    async def scenario(recorder: Recorder, database: Database) -> None:
        for number in range(300):
            recorder.note(record(key=f"key-{number % 7}"))
            if number % 100 == 0:
                await until(lambda: not recorder._waiting)

    run(path, scenario)
    with sqlite3.connect(path) as connection:
        assert sum(item.requests for item in report_usage(connection, "key")) == count(path) == 300
    connection.close()
