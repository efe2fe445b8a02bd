"""The accounts of all names that have limits, and the pace at which providers are asked. Pure but for its clocks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from gateway.queue.account import Account, Entry
from gateway.queue.bounds import Bounds, Cost

Clock = Callable[[], float]


class Ledger:
    """All accounts of one arbiter.

    Args:
        clock: seconds of a clock that never goes back, for minutes.
        wall: seconds since 1970, for days and months.
    """

    def __init__(self, clock: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._clock = clock
        self._wall = wall
        self._accounts: defaultdict[str, Account] = defaultdict(Account)
        self._turns: dict[str, float] = {}

    def enter(self, name: str, bounds: Bounds, cost: Cost, base: int | None) -> Entry:
        """Let a request in under a name; see ``Account.enter``."""
        return self._accounts[name].enter(bounds, cost, self._clock(), self._wall(), base)

    def leave(self, entry: Entry, tokens: int | None) -> None:
        """End a request, once; see ``Account.leave``."""
        entry.account.leave(entry, tokens, self._clock())

    def take_turn(self, name: str, interval_s: float, longest_s: float) -> float:
        """Seconds until it is the caller's turn, when turns of a name are at least an interval apart.

        More than ``longest_s`` means that no turn was taken.
        """
        now_s = self._clock()
        turn_s = max(now_s, self._turns.get(name, now_s))
        if turn_s - now_s <= longest_s:
            self._turns[name] = turn_s + interval_s
        return turn_s - now_s
