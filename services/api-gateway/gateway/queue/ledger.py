"""The accounts of all names that have limits, and the pace at which providers are asked. Pure but for its clocks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import islice

from gateway.queue.account import Account, Entry
from gateway.queue.bounds import Bounded, Bounds, Cost, OverLimitError, Taken

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
        self._accounts: dict[str, Account] = {}  # in the order in which they last came
        self._turns: dict[str, float] = {}

    def enter(self, name: str, bounds: Bounds, cost: Cost, base: int | None, more: Sequence[Bounded] = ()) -> Entry:
        """Let a request in under a name, and under all of ``more``, or under none of them; see ``Account.enter``.

        Raises:
            OverLimitError: there is no room under one; of several that are full, the one that takes longest.
        """
        now_s, wall_s = self._clock(), self._wall()
        everyone = ((name, bounds), *more)
        full: list[OverLimitError] = []
        for owner, its in everyone if more else ():
            try:
                self._find(owner).check(its, cost, now_s, wall_s, base)
            except OverLimitError as over:
                over.name = owner
                full.append(over)
        if full:
            raise max(full, key=lambda over: math.inf if over.wait_s is None else over.wait_s)
        entry, *others = (self._find(owner).enter(its, cost, now_s, wall_s, base) for owner, its in everyone)
        entry.others = tuple(others)
        return entry

    def leave(self, entry: Entry, tokens: int | None) -> None:
        """End a request, once; see ``Account.leave``."""
        now_s = self._clock()
        for one in (entry, *entry.others):
            one.account.leave(one, tokens, now_s)

    def _find(self, name: str) -> Account:
        """The account of a name, which is now the one that came last."""
        account = self._accounts[name] = self._accounts.pop(name) if name in self._accounts else Account()
        return account

    def list_taken(self, most: int) -> dict[str, list[Taken]]:
        """How the limits stand of the names that came last, at most so many of them."""
        now_s, wall_s = self._clock(), self._wall()
        found = {}
        for name in islice(reversed(self._accounts), most):
            if taken := self._accounts[name].list_taken(now_s, wall_s):
                found[name] = taken
        return found

    def take_turn(self, name: str, interval_s: float, longest_s: float) -> float:
        """Seconds until it is the caller's turn, when turns of a name are at least an interval apart.

        More than ``longest_s`` means that no turn was taken.
        """
        now_s = self._clock()
        turn_s = max(now_s, self._turns.get(name, now_s))
        if turn_s - now_s <= longest_s:
            self._turns[name] = turn_s + interval_s
        return turn_s - now_s
