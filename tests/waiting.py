"""Waiting for a condition with a deadline, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# For a machine with nothing in its caches and much else to do; a good run needs a tenth.
DEADLINE_S = 180.0
POLL_S = 0.02


def wait_for(condition: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
    """Ask until there is something, and return it.

    Raises:
        AssertionError: there is still nothing after ``deadline_s``.
    """
    deadline = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {deadline_s:g} s"
        time.sleep(POLL_S)
    return found
