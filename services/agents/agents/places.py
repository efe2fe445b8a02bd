"""How many calls are worked on at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agents.problems import ProblemError


class Places:
    """Nobody waits for one: who finds none asks again.

    Args:
        parallel: how many there are. Callers without a key, of whom there may be any number, have half of them, and so
            never keep out those who have one.
    """

    def __init__(self, parallel: int) -> None:
        self._most, self._most_free = parallel, (parallel + 1) // 2
        self._taken = self._taken_free = 0

    @contextmanager
    def take(self, is_free: bool) -> Iterator[None]:
        """Have a place until the end of the block.

        Args:
            is_free: whether the call came without a key.

        Raises:
            ProblemError: there is none.
        """
        if self._taken >= self._most or (is_free and self._taken_free >= self._most_free):
            raise ProblemError("busy", retry_after="2")
        self._taken += 1
        self._taken_free += is_free
        try:
            yield
        finally:
            self._taken -= 1
            self._taken_free -= is_free
