"""What one key or target has spent of its limits, and who of it is under way. Pure: time comes in.

A request is let in when every limit has room for it, and is then counted against all of them; else against none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.queue.bounds import BaseNeededError, Bounds, Cost, Gauge, Limit, OverLimitError, Standing, Taken
from gateway.queue.line import MAX_RETRY_AFTER_S
from gateway.queue.meter import Meter, Spent
from gateway.queue.tally import Span, Tally, find_span
from gateway.state.values import Period

# Weight of the newest request in the mean of how long requests last.
_NEWEST = 0.2
# Periods whose tallies are kept: a clock that is set back finds what was used then, and forward again the same.
_KEPT_TALLIES = 4
_UNKNOWN = Standing()
_UNBOUND = Bounds()


class _Over(NamedTuple):
    """A limit without room for a request; see ``OverLimitError``."""

    limit: Limit
    wait_s: float | None
    least: int = 1
    left: int = 0


@dataclass(eq=False, slots=True)
class Entry:
    """One request that was let in under a name; ``others`` are the same request's under further names."""

    account: Account
    since_s: float
    standing: Standing = _UNKNOWN
    tokens: Spent | None = None
    tally: Tally | None = None
    held: int = 0
    others: tuple[Entry, ...] = ()


@dataclass(slots=True)
class Account:
    """The spendings under one name.

    Attributes:
        running: requests under way.
        tallies: what was used of budgets, by period and its start.
        bounds: the limits that the newest request came with.
    """

    running: int = 0
    tallies: dict[tuple[Period, float], Tally] = field(default_factory=dict)
    bounds: Bounds = _UNBOUND
    _requests: Meter = field(default_factory=Meter)
    _tokens: Meter = field(default_factory=Meter)
    _mean_s: float = 0.0

    def enter(self, bounds: Bounds, cost: Cost, now_s: float, wall_s: float, base: int | None = None) -> Entry:
        """Let a request in, and count it.

        Args:
            now_s: of a clock that never goes back.
            wall_s: seconds since 1970.
            base: what was used of the budget before anything was counted here, or by now as the records say.

        Raises:
            OverLimitError: there is no room; names the limit that takes longest.
            BaseNeededError: there is a budget, and no base yet.
        """
        span, tally = self._find_tally(bounds, wall_s, base)
        self.bounds = bounds
        self._check(bounds, cost, now_s, wall_s, span, tally)
        entry = self._count(bounds, cost, now_s, tally)
        entry.standing = self._describe(bounds, tally, span, now_s, wall_s)
        return entry

    def check(self, bounds: Bounds, cost: Cost, now_s: float, wall_s: float, base: int | None = None) -> None:
        """Look whether a request would be let in, and count nothing; arguments and errors of ``enter``."""
        span, tally = self._find_tally(bounds, wall_s, base)
        self._check(bounds, cost, now_s, wall_s, span, tally)

    def _check(
        self, bounds: Bounds, cost: Cost, now_s: float, wall_s: float, span: Span | None, tally: Tally | None
    ) -> None:
        over = self._list_over(bounds, cost, now_s)
        if tally and span and bounds.budget_tokens is not None and cost.prompt:
            over += self._check_budget(tally, bounds.budget_tokens, cost, span.end_s - wall_s)
        if over:
            worst = max(over, key=lambda item: math.inf if item.wait_s is None else item.wait_s)
            raise OverLimitError(*worst, self._describe(bounds, tally, span, now_s, wall_s))

    def leave(self, entry: Entry, tokens: int | None, now_s: float) -> None:
        """End a request, once, with what it really took; None leaves what was expected."""
        self.running -= 1
        lasted_s = now_s - entry.since_s
        self._mean_s = lasted_s if not self._mean_s else self._mean_s + _NEWEST * (lasted_s - self._mean_s)
        if entry.tokens and tokens is not None:
            self._tokens.settle(entry.tokens, tokens, now_s)
        if entry.tally:
            entry.tally.settle(entry.held, entry.held if tokens is None else tokens)

    def list_taken(self, now_s: float, wall_s: float) -> list[Taken]:
        """How much of each limit is taken now, by requests under way too."""
        bounds, taken = self.bounds, []
        if (limit := bounds.requests_per_minute) is not None:
            taken.append(Taken(Limit.REQUESTS.value, limit, self._requests.count(now_s)))
        if (limit := bounds.tokens_per_minute) is not None:
            taken.append(Taken(Limit.TOKENS.value, limit, self._tokens.count(now_s)))
        if (limit := bounds.parallel_requests) is not None:
            taken.append(Taken(Limit.PARALLEL.value, limit, self.running))
        if (limit := bounds.budget_tokens) is not None:
            tally = self.tallies.get((bounds.budget_period, find_span(bounds.budget_period, wall_s).start_s))
            taken.append(Taken(Limit.BUDGET.value, limit, tally.used + tally.held if tally else 0))
        return taken

    def _find_tally(self, bounds: Bounds, wall_s: float, base: int | None) -> tuple[Span | None, Tally | None]:
        if bounds.budget_tokens is None:
            self.tallies.clear()  # nothing is counted now, so that a later budget needs a base of its own
            return None, None
        span = find_span(bounds.budget_period, wall_s)
        key = bounds.budget_period, span.start_s
        tally = self.tallies.get(key)
        if tally is None:
            if base is None:
                raise BaseNeededError(*span)
            tally = self.tallies[key] = Tally(base)
            if len(self.tallies) > _KEPT_TALLIES:
                del self.tallies[next(iter(self.tallies))]
        elif base is not None:
            tally.used = max(tally.used, base)  # other gateways count, too
        return span, tally

    def _list_over(self, bounds: Bounds, cost: Cost, now_s: float) -> list[_Over]:
        """The limits of the minute, and of requests at once, that have no room."""
        over: list[_Over] = []
        if (parallel := bounds.parallel_requests) is not None and self.running >= parallel:
            over.append(_Over(Limit.PARALLEL, self._estimate_s()))
        if (limit := bounds.requests_per_minute) is not None and (
            wait_s := self._requests.find_wait_s(limit, 1, now_s)
        ) != 0.0:
            over.append(_Over(Limit.REQUESTS, wait_s))
        if (limit := bounds.tokens_per_minute) is not None and cost.prompt:
            least = cost.find_least(limit)
            if (wait_s := self._tokens.find_wait_s(limit, least, now_s)) != 0.0:
                over.append(_Over(Limit.TOKENS, wait_s, least, max(limit - self._tokens.count(now_s), 0)))
        return over

    def _check_budget(self, tally: Tally, limit: int, cost: Cost, rest_s: float) -> list[_Over]:
        least = cost.find_least(limit)
        left = tally.left(limit)
        if least <= left:
            return []
        if least > limit:
            return [_Over(Limit.BUDGET, None, least, left)]
        # What requests under way hold may come back when they end; nothing else comes before the next period.
        wait_s = rest_s if tally.used + least > limit else min(self._estimate_s(), rest_s)
        return [_Over(Limit.BUDGET, wait_s, least, left)]

    def _count(self, bounds: Bounds, cost: Cost, now_s: float, tally: Tally | None) -> Entry:
        entry = Entry(self, now_s)
        self.running += 1
        if bounds.requests_per_minute is not None:
            self._requests.spend(1, now_s)
        wanted = cost.prompt + cost.answer
        if (limit := bounds.tokens_per_minute) is not None and cost.prompt:
            entry.tokens = self._tokens.spend(min(wanted, limit - self._tokens.count(now_s)), now_s)
        if tally and bounds.budget_tokens is not None and cost.prompt:
            entry.tally, entry.held = tally, min(wanted, tally.left(bounds.budget_tokens))
            tally.held += entry.held
        return entry

    def _describe(
        self, bounds: Bounds, tally: Tally | None, span: Span | None, now_s: float, wall_s: float
    ) -> Standing:
        requests = tokens = budget = None
        if (limit := bounds.requests_per_minute) is not None:
            left = max(limit - self._requests.count(now_s), 0)
            requests = Gauge(limit, left, self._requests.find_reset_s(now_s))
        if (limit := bounds.tokens_per_minute) is not None:
            left = max(limit - self._tokens.count(now_s), 0)
            tokens = Gauge(limit, left, self._tokens.find_reset_s(now_s))
        if (limit := bounds.budget_tokens) is not None and tally and span:
            budget = Gauge(limit, tally.left(limit), span.end_s - wall_s)
        shown = [gauge for gauge in (tokens, budget) if gauge]
        return Standing(requests, min(shown, key=lambda gauge: gauge.left, default=None))

    def _estimate_s(self) -> float:
        """Seconds until one of those under way may have ended, from how long the last ones took; 1 to 60."""
        return min(float(MAX_RETRY_AFTER_S), max(1.0, self._mean_s / max(self.running, 1)))
