"""The limits of a key: who is let in, and in which words one is refused.

Does I/O through the arbiter and the database.
"""

from __future__ import annotations

import asyncio
import logging
import time

from gateway.errors import ApiError
from gateway.observe.logs import note
from gateway.queue.bounds import Admission, BaseNeededError, Bounds, Cost, Limit, OverLimitError
from gateway.queue.slots import SlotQueue
from gateway.queue.tally import Span, find_span
from gateway.state.connection import StateError
from gateway.state.database import Database
from gateway.state.usage import sum_tokens
from gateway.state.values import Key

_LOG = logging.getLogger("gateway.limits")
# Where several gateways share a database: how long the first request of a period may wait for it, how old what is known
# of others' usage gets, how long a database that failed is left alone, and how near its end a period is not looked at.
_LONGEST_S, _LOOK_EVERY_S, _PAUSE_S, _MARGIN_S = 0.25, 1.0, 5.0, 5.0
_NEXT = {"day": "The next begins at 00:00 UTC.", "month": "The next begins on the first day of the next month, UTC."}


class KeyLimits:
    """Lets requests in within the limits of their keys.

    Args:
        database: where the usage of earlier stands; None: budgets begin with nothing used.
        is_shared: whether other gateways write there, too. Then what they count is looked up again and again, behind
            the requests, and no request waits long for a first answer.
    """

    def __init__(self, slots: SlotQueue, database: Database | None, is_shared: bool = False) -> None:
        self._slots = slots
        self._database = database
        self._looks = _Looks(database) if database and is_shared else None

    async def enter(self, key: Key, cost: Cost) -> Admission:
        """Count a request of a key, at once or not at all.

        Raises:
            OverLimitError: one of the key's limits is reached.
            QueueError: the arbiter is gone.
        """
        bounds = build_bounds(key)
        base = self._looks.find(key, time.time()) if self._looks and bounds.budget_tokens else None
        while True:
            try:
                return await self._slots.enter(f"key {key.id} {key.name}", bounds, cost, base)
            except BaseNeededError as needed:
                base = await self._begin(key, Span(needed.start_s, needed.end_s))

    async def _begin(self, key: Key, span: Span) -> int:
        if self._looks:
            return await self._looks.begin(key, span)
        try:
            return await sum_usage(self._database, key, span) if self._database else 0
        except StateError as error:
            note(_LOG, logging.ERROR, "budget begins with nothing used", {"key": key.name}, error)
            return 0


class _Looks:
    """What the records of all gateways say of budgets, by key: asked for behind the requests, used by the next ones."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, tuple[Span, int]] = {}
        self._next_s: dict[int, float] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._not_before_s = 0.0

    def find(self, key: Key, now: float) -> int | None:
        """What is known of the period that a time lies in; has it looked up again where that was some time ago."""
        span = find_span(key.terms.budget_period, now)
        if now > span.end_s - _MARGIN_S:  # the arbiter may be in the next one by now
            return None
        self._look(key, span)
        return self._get(key, span)

    async def begin(self, key: Key, span: Span) -> int:
        """What the records say, or 0 where they take too long to say it; then ``find`` will know it later."""
        if task := self._look(key, span):
            await asyncio.wait({task}, timeout=_LONGEST_S)
        used = self._get(key, span)
        if used is None:
            note(_LOG, logging.WARNING, "budget begins with nothing used until the database answers", {"key": key.name})
        return used or 0

    def _get(self, key: Key, span: Span) -> int | None:
        of, used = self._known.get(key.id, (None, 0))
        return used if of == span else None

    def _look(self, key: Key, span: Span) -> asyncio.Task[None] | None:
        now_s = time.monotonic()
        if key.id not in self._running and now_s >= max(self._next_s.get(key.id, 0.0), self._not_before_s):
            self._next_s[key.id] = now_s + _LOOK_EVERY_S
            self._running[key.id] = asyncio.create_task(self._read(key, span))
        return self._running.get(key.id)

    async def _read(self, key: Key, span: Span) -> None:
        try:
            self._known[key.id] = span, await sum_usage(self._database, key, span)
        except StateError:  # which the keys' own look has told
            self._not_before_s = time.monotonic() + _PAUSE_S
        finally:
            del self._running[key.id]


async def sum_usage(database: Database, key: Key, span: Span) -> int:
    """Tokens that the records have of a key in a period.

    Raises:
        StateError: they cannot be read.
    """
    start_s = max(span.start_s, key.created_at)  # another key may have had the name before
    return await database.read(lambda connection: sum_tokens(connection, key.name, start_s, span.end_s))


def build_bounds(key: Key) -> Bounds:
    """The limits of a key."""
    terms = key.terms
    return Bounds(
        terms.requests_per_minute,
        terms.tokens_per_minute,
        terms.parallel_requests,
        terms.budget_tokens,
        terms.budget_period,
    )


def explain(key: Key, over: OverLimitError) -> ApiError:
    """429, with words that name the key and the limit that it is over."""
    bounds, name = build_bounds(key), f"Key '{key.name}'"
    need = f"{over.left} are left, and this request may take {over.least}"
    code = "rate_limit_exceeded"
    if over.limit is Limit.PARALLEL:
        text = f"{name} may have {_count(bounds.parallel_requests, 'request')} under way at once, and has them."
    elif over.limit is Limit.REQUESTS:
        text = f"{name} may send {_count(bounds.requests_per_minute, 'request')} a minute, and has sent them."
    elif over.limit is Limit.TOKENS:
        text = f"{name} may use {_count(bounds.tokens_per_minute, 'token')} a minute: {need}."
    else:
        code = "budget_exceeded"
        text = f"{name} has a budget of {_count(bounds.budget_tokens, 'token')} a {bounds.budget_period}: {need}."
        text += f" {_NEXT[bounds.budget_period]}"
    if over.wait_s is None:
        text += " That is more than the whole limit, so another try will not help."
    return ApiError(429, code, text, retry_after_s=over.wait_s)


def _count(number: int | None, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
