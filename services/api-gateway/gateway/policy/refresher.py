"""Keeps a worker's keys those of the database. Does I/O: the database, the log.

It has a connection of its own, so that neither a long report nor the writing of usage ever delays a revocation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from gateway.policy.keyring import Held, KeyRing, hold
from gateway.state.connection import Connection, StateError
from gateway.state.database import Database, Place
from gateway.state.keys import SecretRow, build_secret, read_open_secrets, read_revision
from gateway.state.restored import write_mark

_LOG = logging.getLogger("gateway.keys")

# A key that is revoked through any worker, or by a program beside them, stops within a second on every one.
INTERVAL_S = 0.5
# Between two looks for keys that nobody knows: whoever guesses keys does not keep the database busy.
_LOOK_INTERVAL_S = 0.05


class KeyReader:
    """Reads what a ring holds; what did not change since it was read is not made anew, which for 10,000 takes 0.4 s.

    Args:
        state: where the database is; the revision is kept in a file beside it, or nowhere for None.
    """

    def __init__(self, state: Place | None = None) -> None:
        self._state = state
        self._held: dict[SecretRow, Held] = {}

    def read(self, connection: Connection) -> tuple[int, dict[bytes, Held]]:
        """The revision of the keys and the ring's content, as a job of a database."""
        revision, rows = read_open_secrets(connection)
        self._held = {row: self._held.get(row) or hold(build_secret(row)) for row in rows}
        if self._state:
            write_mark(self._state, revision)
        return revision, {row[0].encode(): held for row, held in self._held.items()}


class Refresher:
    """Reads the keys again whenever they changed.

    Args:
        database: its own, which it closes.
    """

    def __init__(self, database: Database, ring: KeyRing, reader: KeyReader) -> None:
        self._database = database
        self._ring = ring
        self._reader = reader
        self._revision: int | None = None
        # Why the database cannot be read, and since when, in seconds since 1970; empty while it can.
        self.failure, self.failing_since = "", 0.0
        self._task: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None
        self._looked_at = 0.0

    async def open(self) -> None:
        """Read the keys, and go on looking; called once, in the event loop that requests run in."""
        await self.refresh()
        self._task = asyncio.create_task(self._watch())

    async def refresh(self) -> None:
        """Read the keys again if they changed. While the database cannot be read, those that are known stay."""
        try:
            if await self._database.read(read_revision) != self._revision:
                self._revision, held = await self._database.read(self._reader.read)
                self._ring.replace(held)
        except Exception as error:  # whatever it is, the next look must come
            reason = str(error) if isinstance(error, StateError) else type(error).__name__
            if not self.failure:
                self.failing_since = time.time()
                _LOG.error("the keys cannot be read again, and those known stay: %s", reason)
            self.failure = reason
        else:
            if self.failure:
                _LOG.info("the keys are read again")
            self.failure = ""

    async def look_again(self) -> None:
        """Read the keys for one that nobody knows: it may have been made a moment ago, through another worker.

        Whoever comes until the look begins waits for that one; nobody waits while the database cannot be read.
        """
        if self.failure:
            return
        if self._look is None:
            self._look = asyncio.create_task(self._look_soon())
        await asyncio.shield(self._look)

    async def _look_soon(self) -> None:
        await asyncio.sleep(self._looked_at + _LOOK_INTERVAL_S - time.monotonic())
        self._looked_at, self._look = time.monotonic(), None
        await self.refresh()

    async def close(self) -> None:
        """Stop, and close the database."""
        for task in (self._task, self._look):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._database.close()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.refresh()
