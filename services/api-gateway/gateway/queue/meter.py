"""Count what was spent within the last minute: requests, or tokens. Pure: time comes in."""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0


class Meter:
    """What was spent of one limit; a window that slides, so that no minute's turn allows twice as much."""

    __slots__ = ("_spent", "_total")

    def __init__(self) -> None:
        self._spent: deque[tuple[float, int]] = deque()
        self._total = 0

    def spend(self, limit: int, amount: int, now_s: float) -> float:
        """Spend an amount if it fits.

        Args:
            amount: 0 asks whether anything may be spent, for what is counted only afterwards.

        Returns:
            0, or the seconds until it would fit; nothing is spent then.
        """
        self._forget(now_s)
        excess = self._total + max(amount, 1) - limit
        for when, spent in self._spent if excess > 0 else ():
            excess -= spent
            if excess <= 0:
                return max(when + WINDOW_S - now_s, 0.001)
        if excess > 0:
            return WINDOW_S  # more than the limit at once
        self.add(amount, now_s)
        return 0.0

    def add(self, amount: int, now_s: float) -> None:
        """Count what was spent, whether or not it fits."""
        if amount > 0:
            self._spent.append((now_s, amount))
            self._total += amount

    def _forget(self, now_s: float) -> None:
        while self._spent and self._spent[0][0] <= now_s - WINDOW_S:
            self._total -= self._spent.popleft()[1]
