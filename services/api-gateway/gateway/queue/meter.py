"""Count what was spent within the last minute: requests, or tokens. Pure: time comes in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 60.0


@dataclass(eq=False, slots=True)
class Spent:
    """One amount in a window, and when it was spent."""

    when_s: float
    amount: int


class Meter:
    """What was spent of one limit; a window that slides, so that no minute's turn allows twice as much."""

    __slots__ = ("_spent", "_total")

    def __init__(self) -> None:
        self._spent: deque[Spent] = deque()
        self._total = 0

    def find_wait_s(self, limit: int, amount: int, now_s: float) -> float | None:
        """Seconds until an amount fits: 0 when it fits now, None when it is more than the limit at once."""
        self._forget(now_s)
        if amount > limit:
            return None
        excess = self._total + amount - limit
        for spent in self._spent if excess > 0 else ():
            excess -= spent.amount
            if excess <= 0:
                return max(spent.when_s + WINDOW_S - now_s, 0.001)
        return 0.0

    def spend(self, amount: int, now_s: float) -> Spent:
        """Count an amount, whether or not it fits; ``settle`` takes what is returned."""
        spent = Spent(now_s, amount)
        self._spent.append(spent)
        self._total += amount
        return spent

    def settle(self, spent: Spent, amount: int, now_s: float) -> None:
        """Put what was really spent in the place of what was expected.

        What was expected too much is free at once. What is more counts from now on, so that an answer that took longer
        than a minute is not forgotten with its beginning.
        """
        self._forget(now_s)
        excess = amount - spent.amount
        if excess > 0:
            self.spend(excess, now_s)
            return
        if spent.when_s > now_s - WINDOW_S:
            self._total += excess
        spent.amount = amount

    def count(self, now_s: float) -> int:
        """What was spent within the last minute."""
        self._forget(now_s)
        return self._total

    def find_reset_s(self, now_s: float) -> float:
        """Seconds until nothing is counted any more."""
        newest = next((spent for spent in reversed(self._spent) if spent.amount), None)
        return max(newest.when_s + WINDOW_S - now_s, 0.0) if newest else 0.0

    def _forget(self, now_s: float) -> None:
        while self._spent and self._spent[0].when_s <= now_s - WINDOW_S:
            self._total -= self._spent.popleft().amount
