"""One arbiter of leases within one process, for asyncio. No I/O, no threads.

In: requests for slots of a server. Out: leases. ``RemoteSlots`` has the same methods where several workers share one
arbiter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.queue.bounds import Admission, Bounded, Bounds, Cost, Taken
from gateway.queue.ledger import Ledger
from gateway.queue.line import Line, QueueTimeoutError, Ticket

# Holds 2,000 requests at once, twice.
DEFAULT_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class LineState:
    """How busy a server is: its slots, how many of them are leased, how many requests wait."""

    slots: int
    leased: int
    waiting: int


class Lease:
    """The right to keep slots of a server busy until ``release``."""

    __slots__ = ("_give_back",)

    def __init__(self, give_back: Callable[[], None] | None = None) -> None:
        self._give_back = give_back

    def release(self, delay_s: float = 0.0) -> None:
        """Give the slots back, or do so in ``delay_s`` seconds; only the first call counts.

        A delay is for a request that was left: the server needs a moment to notice.
        """
        give_back, self._give_back = self._give_back, None
        if give_back is None:
            return
        if delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, give_back)
        else:
            give_back()


class SlotQueue(Protocol):
    """What the gate asks for slots: ``Slots`` or ``RemoteSlots``."""

    async def acquire(self, server: str, slots: int | None, weight: int, key: str, wait_s: float) -> Lease:
        """Wait for slots of a server.

        Args:
            slots: number of slots that the server has; None or 0: it is not counted and the lease comes at once.
            weight: number of slots needed; more than ``slots`` means all of them.
            key: whose request it is; keys that wait take turns.
            wait_s: longest wait.

        Raises:
            QueueFullError: as many requests wait as may.
            QueueTimeoutError: the wait was over ``wait_s``.
        """
        ...

    async def enter(
        self, name: str, bounds: Bounds, cost: Cost, base: int | None = None, more: Sequence[Bounded] = ()
    ) -> Admission:
        """Let a request in within the limits of a name, at once or not at all.

        Args:
            base: what was used of the name's budget so far, as the records say: needed the first time, and later where
                other gateways count, too.
            more: further names, without budgets, under which there must be room too: all or none is counted.

        Raises:
            OverLimitError: a limit is reached; nothing was counted.
            BaseNeededError: there is a budget, and the arbiter knows no base of it.
            QueueError: the arbiter is gone.
        """
        ...

    async def take_turn(self, name: str, interval_s: float, longest_s: float) -> float:
        """Seconds to wait for the next turn of a name; more than ``longest_s`` where none was taken."""
        ...

    async def describe(self) -> dict[str, LineState]:
        """Every counted server that was asked for, by name; needs no slot."""
        ...

    async def list_taken(self, most: int) -> dict[str, list[Taken]]:
        """See ``Ledger``."""
        ...


class Slots:
    """The only arbiter of its process.

    Args:
        length: number of requests that may wait for one server.
        clock, wall: see ``Ledger``.
    """

    def __init__(
        self,
        length: int = DEFAULT_LENGTH,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._length = length
        self._clock = clock
        self._lines: dict[str, Line] = {}
        self._ledger = Ledger(clock, wall)

    async def acquire(self, server: str, slots: int | None, weight: int, key: str, wait_s: float) -> Lease:
        """See ``SlotQueue``."""
        if not slots:
            return Lease()
        line = self._lines.setdefault(server, Line(self._length))
        ticket = Ticket(key, weight)
        if not line.ask(ticket, slots, self._clock()):
            await self._wait(line, ticket, wait_s)
        return Lease(lambda: line.end(ticket, self._clock()))

    async def _wait(self, line: Line, ticket: Ticket, wait_s: float) -> None:
        future = asyncio.get_running_loop().create_future()

        def settle(error: QueueTimeoutError | None = None) -> None:
            if not future.done():
                future.set_exception(error) if error else future.set_result(None)

        def give_up() -> None:
            settle(QueueTimeoutError(f"no slot was free within {wait_s:g} s", line.estimate_s()))

        ticket.on_lease = settle
        timer = asyncio.get_running_loop().call_later(wait_s, give_up)
        try:
            await future
        except BaseException:  # out of time or cancelled, perhaps in the very moment of the lease
            line.end(ticket, self._clock())
            raise
        finally:
            timer.cancel()

    async def enter(
        self, name: str, bounds: Bounds, cost: Cost, base: int | None = None, more: Sequence[Bounded] = ()
    ) -> Admission:
        """See ``SlotQueue``."""
        entry = self._ledger.enter(name, bounds, cost, base, more)
        return Admission(entry.standing, lambda tokens: self._ledger.leave(entry, tokens))

    async def take_turn(self, name: str, interval_s: float, longest_s: float) -> float:
        """See ``SlotQueue``."""
        return self._ledger.take_turn(name, interval_s, longest_s)

    async def describe(self) -> dict[str, LineState]:
        """See ``SlotQueue``."""
        return describe_lines(self._lines)

    async def list_taken(self, most: int) -> dict[str, list[Taken]]:
        """See ``SlotQueue``."""
        return self._ledger.list_taken(most)


def describe_lines(lines: dict[str, Line]) -> dict[str, LineState]:
    """The state of each line."""
    return {server: LineState(line.slots, line.leased, line.waiting) for server, line in lines.items()}
