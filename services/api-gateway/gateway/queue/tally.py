"""What was used of a budget in a day or month of UTC. Pure: time comes in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from gateway.state.values import Period

_DAY_S = 86_400


class Span(NamedTuple):
    """One period of budgets, in seconds since 1970."""

    start_s: float
    end_s: float


def find_span(period: Period, now_s: float) -> Span:
    """The calendar day or month of UTC that a time lies in."""
    return _find_span(period, int(now_s // _DAY_S))


@lru_cache(maxsize=8)
def _find_span(period: Period, day: int) -> Span:
    """The span of a day, by its number since 1970; kept, since all requests of a day have the same two."""
    start = datetime.fromtimestamp(day * _DAY_S, UTC)
    if period == "day":
        return Span(start.timestamp(), start.timestamp() + _DAY_S)
    first = start.replace(day=1)
    return Span(first.timestamp(), (first + timedelta(days=32)).replace(day=1).timestamp())


@dataclass(slots=True)
class Tally:
    """Tokens of one key in one period.

    Attributes:
        used: tokens of requests that ended.
        held: tokens that requests under way are expected to take.
    """

    used: int = 0
    held: int = 0

    def left(self, limit: int) -> int:
        """What is left of a budget; never below 0."""
        return max(limit - self.used - self.held, 0)

    def settle(self, held: int, tokens: int) -> None:
        """Count what a request really took in the place of what was held for it."""
        self.held -= held
        self.used += tokens
