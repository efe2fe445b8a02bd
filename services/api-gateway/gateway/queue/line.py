"""Who holds the slots of one server and who waits for them. Pure: time comes in, grants go out by a callback.

Order: first come, first served within a key; between keys that wait, one each in turn. The first in line waits until
its whole weight fits and nobody overtakes it, so that a heavy request is never starved by light ones.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

# Both SDKs of OpenAI and Anthropic ignore a Retry-After of more than a minute.
MAX_RETRY_AFTER_S = 60
# Weight of the newest lease in the mean of how long leases last.
_NEWEST = 0.2


class QueueError(Exception):
    """A request got no slot.

    Attributes:
        retry_after_s: whole seconds after which trying again may help, 1 to ``MAX_RETRY_AFTER_S``.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFullError(QueueError):
    """As many requests wait for this server as may wait."""


class QueueTimeoutError(QueueError):
    """The request waited as long as it may."""


class State(Enum):
    """What became of a ticket; it only ever moves down this list."""

    NEW = "new"
    WAITING = "waiting"
    LEASED = "leased"
    ENDED = "ended"


@dataclass(eq=False, slots=True)
class Ticket:
    """One request for slots.

    Attributes:
        key: whose request it is; keys that wait take turns.
        weight: number of slots it needs, >= 1; once leased, the number that it holds.
        on_lease: called when a ticket that had to wait is leased.
        since_s: when it began to hold its slots.
    """

    key: str
    weight: int = 1
    on_lease: Callable[[], None] = lambda: None
    state: State = State.NEW
    since_s: float = 0.0


@dataclass(slots=True)
class Line:
    """The slots of one server.

    Attributes:
        length: number of tickets that may wait.
        slots: number of slots; the newest word of the callers counts.
        leased: slots that are held.
        waiting: tickets that wait.
    """

    length: int
    slots: int = 0
    leased: int = 0
    waiting: int = 0
    # The first key is the next to be served. In an OrderedDict leaving from the middle is as cheap as from the front.
    _keys: OrderedDict[str, OrderedDict[Ticket, None]] = field(default_factory=OrderedDict)
    _mean_s: float = 0.0

    def ask(self, ticket: Ticket, slots: int, now_s: float) -> bool:
        """Lease the ticket its slots, or let it wait for them.

        Args:
            slots: number of slots that the server has, >= 1; a ticket that needs more gets all of them.

        Returns:
            Whether it is leased now.

        Raises:
            QueueFullError: it would have to wait and no more may.
        """
        if slots != self.slots:
            self.slots = slots
            self._advance(now_s)
        if not self.waiting and self._fits(ticket):
            self._lease(ticket, now_s)
            return True
        if self.waiting >= self.length:
            raise QueueFullError(f"{self.waiting} requests wait already", self.estimate_s())
        self._keys.setdefault(ticket.key, OrderedDict())[ticket] = None
        self.waiting += 1
        ticket.state = State.WAITING
        return False

    def end(self, ticket: Ticket, now_s: float) -> None:
        """Give back what the ticket holds, or take it out of the line; a second time it does nothing."""
        if ticket.state is State.LEASED:
            self.leased -= ticket.weight
            held_s = now_s - ticket.since_s
            self._mean_s = held_s if not self._mean_s else self._mean_s + _NEWEST * (held_s - self._mean_s)
        elif ticket.state is State.WAITING:
            self._remove(ticket)
        else:
            return
        ticket.state = State.ENDED
        self._advance(now_s)

    def estimate_s(self) -> int:
        """Seconds until everyone in line has been served, from how long the last leases lasted; 1 to 60."""
        wait_s = self._mean_s * (self.waiting + 1) / max(self.slots, 1)
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(wait_s)))

    def _fits(self, ticket: Ticket) -> bool:
        return self.leased + min(ticket.weight, self.slots) <= self.slots

    def _lease(self, ticket: Ticket, now_s: float) -> None:
        ticket.weight = min(ticket.weight, self.slots)
        ticket.state, ticket.since_s = State.LEASED, now_s
        self.leased += ticket.weight

    def _advance(self, now_s: float) -> None:
        while self._keys:
            key, tickets = next(iter(self._keys.items()))
            ticket = next(iter(tickets))
            if not self._fits(ticket):
                return
            self._remove(ticket)
            if key in self._keys:
                self._keys.move_to_end(key)
            self._lease(ticket, now_s)
            ticket.on_lease()

    def _remove(self, ticket: Ticket) -> None:
        tickets = self._keys[ticket.key]
        del tickets[ticket]
        if not tickets:
            del self._keys[ticket.key]
        self.waiting -= 1
