"""A time in which the cache cannot be used: begun, told once, and ended by itself. Does I/O: the log."""

from __future__ import annotations

import logging
import time

_LOG = logging.getLogger("gateway.cache")

_FIRST_S, _LONGEST_S = 1.0, 60.0


class Outage:
    """Whether one way of using the file is to be tried.

    Args:
        what: what cannot be done meanwhile, for the log.

    Attributes:
        reason: why not; empty while it can.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._next_s = 0.0
        self._delay_s = _FIRST_S
        self.reason = ""

    def allows(self) -> bool:
        """Whether to try now: always while all is well, else now and then."""
        return not self.reason or time.monotonic() >= self._next_s

    def begin(self, reason: str, is_final: bool = False) -> None:
        """It failed.

        Args:
            is_final: whether it stays so until the gateway is started again.
        """
        if not self.reason:
            until = "until the gateway is started again" if is_final else "and it is tried again now and then"
            _LOG.error("%s: %s; the gateway goes on without, %s", self._what, reason, until)
            self._delay_s = _FIRST_S
        self.reason = reason
        self._next_s = float("inf") if is_final else time.monotonic() + self._delay_s
        self._delay_s = min(self._delay_s * 2, _LONGEST_S)

    def end(self) -> None:
        """It can be done."""
        if self.reason:
            _LOG.warning("no longer: %s", self._what)
        self.reason = ""
