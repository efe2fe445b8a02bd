"""The limits of a key: who is let in, and in which words one is refused.

Does I/O through the arbiter and the database.
"""

from __future__ import annotations

import logging

from gateway.errors import ApiError
from gateway.observe.logs import note
from gateway.queue.bounds import Admission, BaseNeededError, Bounds, Cost, Limit, OverLimitError
from gateway.queue.slots import SlotQueue
from gateway.state.connection import StateError
from gateway.state.database import Database
from gateway.state.usage import sum_tokens
from gateway.state.values import Key

_LOG = logging.getLogger("gateway.limits")
_NEXT = {"day": "The next begins at 00:00 UTC.", "month": "The next begins on the first day of the next month, UTC."}


class KeyLimits:
    """Lets requests in within the limits of their keys.

    Args:
        database: where the usage of earlier stands; None: budgets begin with nothing used.
    """

    def __init__(self, slots: SlotQueue, database: Database | None) -> None:
        self._slots = slots
        self._database = database

    async def enter(self, key: Key, cost: Cost) -> Admission:
        """Count a request of a key, at once or not at all.

        Raises:
            OverLimitError: one of the key's limits is reached.
            QueueError: the arbiter is gone.
        """
        bounds, base = build_bounds(key), None
        while True:
            try:
                return await self._slots.enter(f"key {key.id}", bounds, cost, base)
            except BaseNeededError as needed:
                base = await self._sum_usage(key, needed.start_s, needed.end_s)

    async def _sum_usage(self, key: Key, start_s: float, end_s: float) -> int:
        if self._database is None:
            return 0
        start_s = max(start_s, key.created_at)  # another key may have had the name before
        try:
            return await self._database.read(lambda connection: sum_tokens(connection, key.name, start_s, end_s))
        except StateError as error:
            note(_LOG, logging.ERROR, "budget begins with nothing used", {"key": key.name}, error)
            return 0


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
