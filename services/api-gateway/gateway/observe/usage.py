"""One record of each request in the database, written behind the answers: who, what, how long, never what was said.

In: a ``Record`` when a request has ended. Out: rows of the table ``usage``. Does I/O: the database, in a thread and
over a connection of its own, so that a long report keeps no record in memory. What is noted is written within a tenth
of a second, which is what a worker that is killed can lose. What cannot be written is kept up to a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gateway.observe.metrics import USAGE_LOST, USAGE_WAITING
from gateway.observe.usage_rows import Record, build_row
from gateway.state.connection import Connection, StateError
from gateway.state.database import Database
from gateway.state.usage import UsageRow, add_usage, has_usage, read_salt, remove_usage

_LOG = logging.getLogger("gateway.usage")

# Half of what may be lost: the other half is for the writing itself.
_WRITE_EVERY_S = 0.05
_LONGEST_DELAY_S = 5.0
# A record takes about a kilobyte of memory.
MAX_KEPT = 20_000
# Until they are hashed records hold on to their prompts; where the disk stands still, no more than this do.
_MAX_PROMPTS = 1_000
_REMOVED_AT_ONCE, _REMOVE_PAUSE_S, _REMOVE_EVERY_S = 1_000, 0.05, 3600.0
_DAY_S = 86_400


@dataclass(slots=True)
class _Backlog:
    """What the thread holds: rows that are not written yet, and how many were given up."""

    rows: list[UsageRow]
    lost: int = 0
    # Of the rows the first, which may have been written: a server can keep a transaction and go before it says so.
    in_doubt: int = 0
    salt: bytes | None = None


class Recorder:
    """Writes the records of one worker; made in its event loop.

    Args:
        database: used by nobody else; closed with the recorder.
        keep_days: days after which records are removed; 0 keeps them for ever.
    """

    def __init__(self, database: Database, keep_days: int) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="usage")
        self._waiting: list[Record] = []
        self._backlog = _Backlog([])
        self._delay_s = _WRITE_EVERY_S
        self._is_failing = self._is_losing = False
        self._closing = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._keep_days = keep_days
        self._removing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to remove old records."""
        if self._keep_days:
            self._removing = asyncio.create_task(self._remove_old())

    def note(self, record: Record) -> None:
        """Take a record that is to be written; never waits, and never fails."""
        if len(self._waiting) >= _MAX_PROMPTS:
            record.body = None
        self._waiting.append(record)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_until_done())

    async def close(self) -> None:
        """Write what is left, and close the database."""
        if self._removing:
            self._removing.cancel()
        self._closing.set()
        if self._writing:
            await self._writing
        USAGE_LOST.inc(len(self._backlog.rows))
        if lost := len(self._backlog.rows) + self._backlog.lost:
            _LOG.error("%d records of usage were lost", lost)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close_here)
        self._thread.shutdown()

    async def _write_until_done(self) -> None:
        while self._waiting or self._backlog.rows:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._delay_s):
                    await self._closing.wait()
            await self._write()
            if self._is_failing and self._closing.is_set():
                break
        self._writing = None

    async def _write(self) -> None:
        records, self._waiting = self._waiting, []
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write_here, records)
        except StateError as error:
            self._delay_s = min(self._delay_s * 2, _LONGEST_DELAY_S)
            self._tell_failure(error)
        except Exception as error:  # a fault of ours: later records are still to be written
            _LOG.error("%d records of usage cannot be written, and are lost", len(self._backlog.rows), exc_info=error)
            USAGE_LOST.inc(len(self._backlog.rows))
            self._backlog.rows.clear()
            self._backlog.in_doubt = 0
        else:
            if self._is_failing:
                _LOG.warning("usage is written again; %d records were lost", self._backlog.lost)
            self._backlog.lost = 0
            self._is_failing = self._is_losing = False
            self._delay_s = _WRITE_EVERY_S
        USAGE_WAITING.set(len(self._backlog.rows) + len(self._waiting))

    def _tell_failure(self, error: StateError) -> None:
        if not self._is_failing:
            self._is_failing = True
            _LOG.error("%s; this worker keeps up to %d records of usage in memory meanwhile", error, MAX_KEPT)
        if self._backlog.lost and not self._is_losing:
            self._is_losing = True
            _LOG.error("%d records of usage wait to be written; the oldest are lost from now on", MAX_KEPT)

    def _write_here(self, records: Sequence[Record]) -> None:
        """In the thread: make rows of the records, and write all that wait."""
        backlog = self._backlog
        failure: StateError | None = None
        try:
            backlog.salt = backlog.salt or self._database.read_here(read_salt)
        except StateError as error:
            failure = error
        backlog.rows += [build_row(record, backlog.salt) for record in records]
        over = max(0, len(backlog.rows) - MAX_KEPT)
        del backlog.rows[:over]
        backlog.lost += over
        backlog.in_doubt = max(0, backlog.in_doubt - over)
        USAGE_LOST.inc(over)
        if failure:
            raise failure
        if backlog.rows:
            self._database.write_here(self._add)
            backlog.rows.clear()
            backlog.in_doubt = 0

    def _add(self, connection: Connection) -> None:
        backlog = self._backlog
        if backlog.in_doubt and has_usage(connection, backlog.rows[0]):
            del backlog.rows[: backlog.in_doubt]
        backlog.in_doubt = len(backlog.rows)
        if backlog.rows:
            add_usage(connection, backlog.rows)

    async def _remove_old(self) -> None:
        """Remove old records now and each hour, a few at a time, so that nobody waits for it."""
        while True:
            with contextlib.suppress(StateError):  # writing will tell
                while await self._remove_some(time.time() - self._keep_days * _DAY_S):
                    await asyncio.sleep(_REMOVE_PAUSE_S)
            await asyncio.sleep(_REMOVE_EVERY_S)

    async def _remove_some(self, before: float) -> bool:
        def remove() -> bool:
            return self._database.write_here(lambda connection: remove_usage(connection, before, _REMOVED_AT_ONCE))

        return await asyncio.get_running_loop().run_in_executor(self._thread, remove)
