"""Time-outs of one try: to the first content, between pieces, and as a whole. Uses the event loop's clock."""

from __future__ import annotations

import asyncio
from types import TracebackType

from gateway.catalog.values import Timeouts
from gateway.outcomes import TIMED_OUT, TargetError


class Patience:
    """Cancels what runs inside it when the server says nothing for too long; an asynchronous context.

    One timer a request, which looks at the time of the last piece when it fires: a timer for each piece would cost more
    than passing the piece on.

    Args:
        left_s: seconds that the route's deadline leaves.

    Attributes:
        first_at: time of the event loop's clock, which is the monotonic one, of the first content; None before.

    Raises:
        TargetError: the time is over.
    """

    __slots__ = ("_end", "_last", "_limit_s", "_loop", "_timeout", "_timeouts", "_timer", "first_at")

    def __init__(self, timeouts: Timeouts, left_s: float) -> None:
        self._timeouts = timeouts
        self._limit_s = timeouts.first_token_s
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._end = self._last + min(timeouts.whole_s, left_s)
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None
        self.first_at: float | None = None

    def saw_piece(self, has_content: bool) -> None:
        """Note that something arrived; until there is content, the first time-out goes on."""
        if has_content:
            self._last = self._loop.time()
            if self.first_at is None:
                self.first_at = self._last
                self._limit_s = self._timeouts.between_tokens_s

    def _look(self) -> None:
        due = min(self._last + self._limit_s, self._end)
        if self._loop.time() >= due:
            self._timeout.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_at(due, self._look)

    async def __aenter__(self) -> Patience:
        await self._timeout.__aenter__()
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as timeout:
            raise TargetError(TIMED_OUT) from timeout
