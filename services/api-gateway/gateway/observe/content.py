"""Log what was said, for the routes and for the time that the operator chose. Does I/O: the database, the log.

In: requests and answers of the routes that it is switched on for. Out: lines of ``content.jsonl`` in the state's
folder, masked; nothing of them in the gateway's own log. Whatever goes wrong, less is written, never more: where the
database cannot be read, nothing is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.catalog.values import ContentRules
from gateway.observe.content_feed import ContentFeed
from gateway.observe.content_file import FILE_NAME, ContentFile
from gateway.observe.logs import note
from gateway.state.connection import StateError
from gateway.state.content_logging import ALL, SETTING, Logging, list_logging, start_logging, stop_logging
from gateway.state.database import Database, Place

_LOG = logging.getLogger("gateway.content")

# It is on and off within a second on every worker.
_INTERVAL_S = 0.5
_CLEAN_S = 60.0
# How long the setting of the environment holds after a start.
SETTING_S = 3600.0
# Longer answers are cut.
_MOST_ANSWER = 4 * 1024 * 1024


class Conversation:
    """One request and its answer, collected while it is served."""

    __slots__ = ("_answered", "_asked", "_log", "_size")

    def __init__(self, log: ContentLog, asked: bytes) -> None:
        self._log = log
        self._asked = asked
        self._answered: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """A piece of the answer."""
        if self._size < _MOST_ANSWER:
            self._answered.append(data)
        self._size += len(data)

    def end(self, facts: Mapping[str, Any]) -> None:
        """Have it written, if the route is still logged."""
        answered = b"".join(self._answered)[:_MOST_ANSWER]
        if self._log.covers(facts["model"]):
            cut = {"cut_bytes": self._size - len(answered)} if self._size > len(answered) else {}
            self._log.feed.offer({**facts, **cut}, (self._asked, answered))


class ContentLog:
    """What one worker knows of content logging.

    Args:
        database: its own, which it closes; None where the gateway keeps no state, and nothing is ever logged.
        secrets: keys that are hidden wherever they stand.
    """

    def __init__(
        self, database: Database | None = None, folder: Path = Path(), rules: ContentRules | None = None,
        secrets: Iterable[str] = (),
    ) -> None:  # fmt: skip
        rules = rules or ContentRules()
        self._database = database
        self._path = folder / FILE_NAME
        self._file = ContentFile(folder, rules.keep_days, rules.keep_mb)
        self.feed = ContentFeed(
            {"folder": str(folder), "keep_days": rules.keep_days, "keep_mb": rules.keep_mb, "masks": dict(rules.masks),
             "secrets": list(secrets)}
        )  # fmt: skip
        self._on: dict[str, list[Logging]] = {}
        self._has_failed = False
        self._task: asyncio.Task[None] | None = None

    def covers(self, model: str) -> bool:
        """Whether a route's content is logged now."""
        if not self._on:
            return False
        now = time.time()
        return any(item.is_on(now) for name in (model, ALL) for item in self._on.get(name, ()))

    def begin(self, model: str, asked: bytes) -> Conversation | None:
        """Collect a request; None where its route's content is not logged."""
        return Conversation(self, asked) if self.covers(model) else None

    async def open(self) -> None:
        """Read what is on, and go on looking; called once, in the event loop that requests run in."""
        if self._database:
            await self._refresh()
            self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Write what waits, and stop."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.feed.close()
        if self._database:
            await self._database.close()

    async def _watch(self) -> None:
        cleaned = 0.0
        while True:
            if time.monotonic() - cleaned > _CLEAN_S:
                cleaned = time.monotonic()
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(self._file.remove_old, time.time())
            await asyncio.sleep(_INTERVAL_S)
            await self._refresh()

    async def _refresh(self) -> None:
        assert self._database is not None
        try:
            found = await self._database.read(lambda connection: list_logging(connection, time.time()))
        except Exception as error:  # whatever it is, the next look must come
            if not self._has_failed:
                reason = error if isinstance(error, StateError) else type(error).__name__
                _LOG.error("whether content is logged cannot be read, so none is: %s", reason)
            self._has_failed, found = True, []
        else:
            self._has_failed = False
        on: dict[str, list[Logging]] = {}
        for item in found:
            on.setdefault(item.model, []).append(item)
        if on != self._on:
            self._on = on
            _tell(on, self._path)


def apply_setting(state: Place | None, folder: Path, log_prompts: bool) -> None:
    """Do what ``GATEWAY_LOG_PROMPTS`` says at a start: log the content of all routes for an hour, or no more.

    Called before workers are forked. Failing that it says so in the log, and nothing is logged.
    """
    if state is None:
        if log_prompts:
            _LOG.warning("GATEWAY_LOG_PROMPTS is true and has no effect: without a database nothing would end it")
        return
    database, now = Database(state), time.time()
    try:
        database.write_here(lambda connection: stop_logging(connection, (), SETTING))
        if log_prompts:
            database.write_here(lambda connection: start_logging(connection, [ALL], now + SETTING_S, SETTING, now))
            text = "GATEWAY_LOG_PROMPTS is true: prompts and answers of all routes are written, masked, for one hour"
            _LOG.warning("%s, until %s, to %s", text, _write_time(now + SETTING_S), folder / FILE_NAME)
    except StateError as error:
        _LOG.error("GATEWAY_LOG_PROMPTS cannot be applied: %s", error)
    finally:
        database.close_here()


def _tell(on: Mapping[str, list[Logging]], path: Path) -> None:
    if not on:
        note(_LOG, logging.INFO, "content logging is off", {})
    for model, items in on.items():
        until = _write_time(max(item.ends_at for item in items))
        note(_LOG, logging.WARNING, "content logging is on", {"model": model, "until": until, "file": str(path)})


def _write_time(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")
