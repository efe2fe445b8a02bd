"""Leave out a target that keeps failing; one request at a time sees whether it is back.

Pure but for its clock and the gauge that shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.observe.metrics import TARGET_AVAILABLE

# In a row; one failure may be anyone's.
_FAILURES = 5
_FIRST_BREAK_S = 5.0
_LONGEST_BREAK_S = 60.0


@dataclass(slots=True)
class _State:
    """What is known of one target; ``open_until`` and the times in seconds of the clock."""

    failures: int = 0
    break_s: float = 0.0
    open_until: float = 0.0
    is_probed: bool = False
    last_error: str = ""
    last_error_at: float = 0.0
    last_success_at: float = 0.0


class Breaker:
    """Remembers per target whether it is worth asking."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._states: dict[str, _State] = {}

    def allows(self, target: str) -> bool:
        """Whether to ask a target; of one that was left out, exactly one request is let through to see."""
        state = self._states.get(target)
        if state is None or state.failures < _FAILURES:
            return True
        if state.is_probed or self._now() < state.open_until:
            return False
        state.is_probed = True
        return True

    def succeed(self, target: str) -> None:
        """Count an answer."""
        state = self._states.get(target)
        if state is None:
            state = self._states[target] = _State()
        state.failures, state.break_s, state.is_probed = 0, 0.0, False
        state.last_success_at = self._now()
        TARGET_AVAILABLE.labels(target).set(1)

    def fail(self, target: str, code: str) -> None:
        """Count a failure of the server's own doing."""
        state = self._states.setdefault(target, _State())
        state.failures += 1
        state.is_probed = False
        state.last_error, state.last_error_at = code, self._now()
        if state.failures >= _FAILURES:
            state.break_s = min(_LONGEST_BREAK_S, state.break_s * 2 or _FIRST_BREAK_S)
            state.open_until = self._now() + state.break_s
        TARGET_AVAILABLE.labels(target).set(state.failures < _FAILURES)

    def abandon(self, target: str) -> None:
        """A request ended without telling anything of the target; if it was let through to see, another may."""
        if state := self._states.get(target):
            state.is_probed = False

    def describe(self, target: str) -> dict[str, object]:
        """State of a target as `stackctl providers` shows it."""
        state = self._states.get(target)
        if state is None:
            return {"state": "unknown", "last_error": None, "last_error_at": None}
        word = "left out" if state.failures >= _FAILURES else "failing" if state.failures else "ok"
        return {
            "state": word,
            "last_error": state.last_error or None,
            "last_error_at": int(state.last_error_at) or None,
            "last_success_at": int(state.last_success_at) or None,
        }
